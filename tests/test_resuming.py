"""What a start says of what it finds."""

import io
import os

import pytest
from rich.console import Console

from dermtune.durable import write_text
from dermtune.ledger import SweepFolder
from dermtune.origin import differences, origin
from dermtune.resuming import print_damaged, print_doubts, set_aside_damaged
from tests.plans import planned
from tests.small_disk import small_disk

PLAN = planned()
FIRST = PLAN.trials[0]


def finish(folder: SweepFolder, trial_id: str) -> None:
    trial = folder.trial(trial_id)
    trial.write_history([{"epoch": 1, "train_loss": 0.5}])
    for split in ("val", "test"):
        trial.predictions(split).write_bytes(split.encode())
    trial.finish({"seconds": 3.0})


@pytest.fixture
def said():
    """A console, and what was printed on it."""
    out = io.StringIO()
    return Console(file=out, width=400), out


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """Two damaged trials, one of them of another plan."""
    monkeypatch.chdir(tmp_path)
    folder = SweepFolder(tmp_path / "sweep")
    for trial_id in (FIRST.trial_id, "other"):
        finish(folder, trial_id)
        folder.trial(trial_id).history.unlink()
    return folder


def test_damaged_trials_are_moved_away_in_a_line_each(damaged, said):
    console, out = said
    set_aside_damaged(damaged, PLAN, console)
    assert set(out.getvalue().splitlines()) == {
        f"{FIRST.title} ({FIRST.trial_id}), which runs again, is damaged: history.csv is gone; "
        f"set aside in sweep/damaged/{FIRST.trial_id}-1",
        "other, which is not asked for now, is damaged: history.csv is gone; set aside in sweep/damaged/other-1",
    }
    assert not (damaged.trial("other").path / "manifest.json").exists()


def test_a_preview_moves_nothing(damaged, said):
    console, out = said
    print_damaged(damaged, PLAN, console)
    assert out.getvalue().count("is damaged: history.csv is gone; a start sets it aside\n") == 2
    assert damaged.trial("other").path.exists()


def test_other_code_and_other_versions_are_told_against_what_would_train_now():
    now = {"commit": "b" * 40, "versions": {"torch": "2.13.0", "numpy": "2.4.6"}}
    same = {"commit": "b" * 40, "versions": {"torch": "2.13.0", "numpy": "2.4.6"}}
    other = {"commit": "a" * 40, "versions": {"torch": "2.12.0", "numpy": "2.4.6"}}
    assert [*differences([same, same], now)] == []
    assert [*differences([same, other], now)] == [
        "by commit aaaaaaaaaaaa, bbbbbbbbbbbb, this is bbbbbbbbbbbb",
        "with torch 2.12.0, this is 2.13.0",
    ]
    assert [*differences([{}, {"commit": None}], now)] == [], "what an old manifest does not say differs in nothing"


def test_nothing_is_doubted_where_nothing_is_missing(tmp_path, said):
    console, out = said
    folder = SweepFolder(tmp_path)
    done = {trial.trial_id: {"commit": "a" * 40} for trial in PLAN.trials}
    print_doubts(folder, done, PLAN, console)
    assert out.getvalue() == ""
    print_doubts(folder, {}, PLAN, console)
    assert out.getvalue() == "", "nobody knows yet what a trial needs"


def test_a_disk_that_the_missing_trials_would_fill_is_told_before_the_start(tmp_path, said):
    console, out = said
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        folder = SweepFolder(disk.path / "sweep")
        write_text(folder.trial(FIRST.trial_id).path / "test.parquet", "0" * 1_200_000)
        print_doubts(folder, {FIRST.trial_id: origin()}, PLAN, console)
        (line,) = out.getvalue().splitlines()
        assert line.startswith(f"The disk of {os.path.relpath(folder.path)} may fill up: 2.")
        assert line.endswith("MB free, what is missing needs about 3.6 MB.")
