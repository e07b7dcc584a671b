"""What a sweep has cost in all: every attempt at its trials, whatever came of it."""

import json

import pytest

from analysis.report.provenance import provenance_rows
from analysis.spending import Spending, SpendingError, spending


def attempt(hours, *, kept=None, gpus=0.0, usd_per_hour=None, ended="done"):
    return {
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 3600 * hours,
        "kept_seconds": 3600 * (hours if kept is None else kept),
        "gpus": gpus,
        "usd_per_hour": usd_per_hour,
        "ended": ended,
    }


@pytest.fixture
def trials(tmp_path):
    """Writes a trial's attempts and gives its folder."""

    def write(name, *attempts):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "attempts.json").write_text(json.dumps({"format": 1, "attempts": attempts}))
        return folder

    return write


def test_attempts_add_up_each_with_the_gpus_and_at_the_price_that_it_had(trials):
    folders = [
        trials("one", attempt(1, kept=1, usd_per_hour=3, ended="interrupted"), attempt(2, gpus=4, usd_per_hour=2)),
        trials("other", attempt(1, gpus=0.5)),
    ]
    assert spending(folders) == Spending(
        attempts=3, hours=1 + 8 + 0.5, cost_usd=3 + 16, lost_hours=0, lost_cost_usd=0
    )


def test_a_kill_loses_what_was_not_kept_and_a_trial_without_a_result_all_of_it(trials):
    killed = trials("killed", attempt(3, kept=2, ended="interrupted", usd_per_hour=10), attempt(1, usd_per_hour=10))
    diverged = trials("diverged", attempt(2, kept=1, ended="diverged", usd_per_hour=10))
    cut_off = trials("cut-off", attempt(2, kept=1.5, ended=None, usd_per_hour=10))
    spent = spending([killed, diverged, cut_off])
    assert (spent.lost_hours, spent.lost_cost_usd) == (1 + 2 + 0.5, 35)


def test_a_trial_from_before_attempts_were_metered_counts_what_its_manifest_says(trials, tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    (old / "manifest.json").write_text(json.dumps({"seconds": 3600, "gpus": 2.0, "cost_usd": 5.0}))
    assert spending([old, tmp_path / "missing"]) is None, "where none is metered nothing is added to what was told"
    both = spending([old, trials("new", attempt(1))])
    assert (both.attempts, both.hours, both.cost_usd) == (2, 3, 5)


@pytest.mark.parametrize("text", ["torn", "[]", '{"attempts": [{"seconds": 1}]}', '{"attempts": 1}'])
def test_an_account_that_cannot_be_read_is_named(trials, text):
    folder = trials("one")
    (folder / "attempts.json").write_text(text)
    with pytest.raises(SpendingError, match=r"one/attempts\.json must hold what the trial's attempts took"):
        spending([folder])


@pytest.mark.parametrize(
    ("attempts", "said"),
    [
        ([attempt(1.5, usd_per_hour=2)], "1.50 hours in 1 attempt, $3.00"),
        ([attempt(1.5)], "1.50 hours in 1 attempt"),
        (
            [attempt(1, kept=0.75, ended="interrupted", usd_per_hour=2), attempt(0.5, usd_per_hour=2)],
            "1.50 hours in 2 attempts, $3.00; 0.25 hours, $0.50 of it came to nothing",
        ),
    ],
)
def test_the_report_says_it_in_a_line(trials, attempts, said):
    spent = spending([trials("one", *attempts)]).rounded()
    assert provenance_rows({"spent": spent}) == (("spent in all", said),)
