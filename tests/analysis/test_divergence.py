"""Runs that diverged are a result: an arm that diverges with some seeds is no clean gain on the others."""

from dataclasses import replace

import pytest

from analysis.comparison import compare
from analysis.recommendation import best_kept, recommend
from analysis.report.markdown import render_markdown
from analysis.study import SetAside, SourceError, on_seeds


def without(study, arm, seeds, state="diverged"):
    """The study after these runs of the arm came to nothing."""
    arms = tuple(
        replace(a, runs=tuple(run for run in a.runs if a.name != arm or run.seed not in seeds)) for a in study.arms
    )
    lost = tuple(SetAside(arm=arm, seed=seed, state=state, why="training loss is nan") for seed in seeds)
    return replace(study, arms=tuple(a for a in arms if a.runs), set_aside=(*study.set_aside, *lost))


def judged(study):
    return compare(study, n_resamples=200, quick=True)


@pytest.fixture
def gaining(make_study):
    """Two arms with five seeds, both of which gain for sure, the first more; nothing guards."""
    return make_study(gains=(2.0, 1.0), guards=())


def test_an_arm_that_gains_with_every_seed_is_kept_at_no_cost(gaining):
    first, _ = judged(gaining).comparisons
    assert (first.verdict, first.label, first.diverged) == ("keep", "practical", 0)
    assert "diverged" not in first.reason


def test_an_arm_that_diverges_with_two_of_five_seeds_is_kept_only_at_that_cost(gaining):
    report = judged(without(gaining, "arm0", (1, 3)))
    first, second = report.comparisons
    assert (first.verdict, first.label, first.diverged) == ("keep", "at a cost", 2)
    assert "at a cost: 2 of its 5 runs diverged, the delta is of those that did not" in first.reason
    assert (second.label, second.diverged) == ("practical", 0)


def test_what_is_shipped_is_the_arm_that_never_diverged_though_it_gains_less(gaining):
    report = judged(without(gaining, "arm0", (1, 3)))
    made = recommend(report)
    assert made.ship == "arm1"
    assert best_kept(report).arm == "arm1"
    (trade,) = made.trades
    assert (trade.arm, trade.costs) == ("arm0", ("divergence",))
    assert any("for 2 runs that diverged" in sentence for sentence in made.sentences)


def test_where_every_gain_diverges_the_baseline_is_shipped_unless_that_is_accepted(gaining):
    report = judged(without(without(gaining, "arm0", (1, 3)), "arm1", (0,)))
    assert recommend(report).ship == "baseline"
    assert "Ship the baseline, unless a cost is accepted" in recommend(report).sentences[0]


def test_a_run_that_failed_or_is_missing_is_no_result_and_costs_nothing(gaining):
    for state in ("failed", "missing", "damaged"):
        first, _ = judged(without(gaining, "arm0", (1,), state)).comparisons
        assert (first.label, first.diverged) == ("practical", 0)


@pytest.mark.parametrize("gain", [-2.0, 0.01])
def test_a_verdict_that_keeps_nothing_says_it_too(make_study, gain):
    (comparison,) = judged(without(make_study(gains=(gain,), guards=()), "arm0", (2,))).comparisons
    assert comparison.verdict != "keep"
    assert "1 of its 5 runs diverged, the delta is of those that did not" in comparison.reason


def test_a_baseline_that_diverges_is_a_note_on_every_arm_and_no_cost_of_theirs(gaining):
    report = judged(without(gaining, "baseline", (0,)))
    note = "1 of the baseline's 5 runs diverged, the delta is of those that did not"
    assert all(note in comparison.notes for comparison in report.comparisons)
    assert [comparison.label for comparison in report.comparisons] == ["practical", "practical"]
    assert f"all arms: {note}" in render_markdown(report).replace("**", "")


def test_a_look_counts_the_divergence_of_its_own_seeds(gaining):
    study = without(gaining, "arm0", (1, 4))
    assert [run.seed for run in on_seeds(study, (0, 1, 2)).set_aside] == [1]


def test_without_a_single_run_of_the_baseline_that_is_said_and_nothing_is_judged(gaining):
    study = replace(without(gaining, "baseline", range(5)), problems=("5 of 15 runs are diverged: ...",))
    with pytest.raises(SourceError, match=r"the baseline must have a finished run: 5 of 15 runs are diverged"):
        judged(study)
