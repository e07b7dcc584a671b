"""What an attempt took is known to within a beat of its clock, whatever ends it."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from dermtune.ledger import Diverged, LedgerError, TrialFolder, meter
from dermtune.ledger.meter import Attempt, Meter, merged, read_attempts


@pytest.fixture
def folder(tmp_path):
    return TrialFolder(tmp_path / "trial")


def attempted(folder, *, seconds=0.0, gpus=0.0, usd_per_hour=None, raises=None):
    """One attempt that takes so long, and ends as it is told."""
    with folder.metered(gpus=gpus, usd_per_hour=usd_per_hour):
        time.sleep(seconds)
        if raises:
            raise raises


def checkpointed(folder):
    folder.checkpoint.mkdir(parents=True)
    (folder.checkpoint / "checkpoint-1").mkdir()


class Clock:
    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def test_an_attempt_takes_what_the_wall_clock_says(folder):
    began = time.perf_counter()
    attempted(folder, seconds=0.2)
    assert 0.2 <= folder.seconds() <= time.perf_counter() - began


@pytest.mark.parametrize(
    ("raises", "ended"),
    [
        (None, "done"),
        (ValueError("an image is torn"), "failed"),
        (Diverged("loss is nan"), "diverged"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_however_an_attempt_ends_it_is_paid_and_how_it_ended_is_told(folder, raises, ended):
    if raises:
        with pytest.raises(type(raises)):
            attempted(folder, seconds=0.05, raises=raises)
    else:
        attempted(folder, seconds=0.05)
    [attempt] = folder.attempts()
    assert attempt.ended == ended
    assert attempt.seconds >= 0.05


def test_attempts_add_up_each_at_its_own_price(folder):
    attempted(folder, seconds=0.1, usd_per_hour=3600.0)
    attempted(folder, seconds=0.1, gpus=2.0, usd_per_hour=7200.0)
    first, second = folder.attempts()
    assert folder.seconds() == pytest.approx(first.seconds + second.seconds)
    assert meter.bill(folder.attempts()) == {
        "seconds": pytest.approx(folder.seconds()),
        "cost_usd": pytest.approx(first.seconds * 1 + second.seconds * 2 * 2),
        "attempts": 2,
    }


KILLED = """
import sys, time
from pathlib import Path
from dermtune.ledger import TrialFolder, meter

meter.BEAT_SECONDS = 0.1
with TrialFolder(Path(sys.argv[1])).metered(gpus=0.0, usd_per_hour=None):
    print("began", time.time(), flush=True)
    while True:
        pass  # as busy as a training that leaves Python to nobody
"""


def test_what_a_killed_process_took_is_known_to_within_a_beat(folder):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder.path)], stdout=subprocess.PIPE, text=True)
    try:
        began = float(process.stdout.readline().split()[1])
        time.sleep(1.0)
    finally:
        process.kill()
        took = time.time() - began
        process.communicate()
    [attempt] = folder.attempts()
    assert took - 0.6 < attempt.seconds < took + 0.1, "0.1 s of it a beat, the rest a busy machine"
    assert attempt.ended is None
    attempted(folder)
    assert [attempt.ended for attempt in folder.attempts()] == ["interrupted", "done"]
    assert folder.attempts()[0].seconds == attempt.seconds


def test_a_kill_loses_what_came_after_the_last_epoch_that_was_kept_and_no_more(folder):
    clock = Clock()
    running = Meter(folder.attempts_file, (), gpus=2.0, usd_per_hour=None, clock=clock)
    clock.seconds += 3600
    running.keep()
    clock.seconds += 900
    running._write()  # the last beat before a kill
    checkpointed(folder)
    running._ended.set()
    with folder.metered(gpus=2.0, usd_per_hour=None):
        killed, _ = read_attempts(folder.attempts_file)
    assert (killed.hours, killed.lost_hours, killed.ended) == (2.5, 0.5, "interrupted")


def test_what_was_kept_is_lost_where_no_checkpoint_is_left_of_it(folder):
    attempted(folder, seconds=0.1)
    attempted(folder)
    first, second = folder.attempts()
    assert first.lost_hours == first.hours > 0
    assert second.lost_hours == 0


def test_the_clock_of_the_wall_may_jump(folder, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    attempted(folder, seconds=0.05)
    assert 0.05 <= folder.seconds() < 5


def test_a_beat_costs_next_to_nothing(folder):
    attempted(folder)
    running = Meter(folder.attempts_file, folder.attempts(), gpus=0.0, usd_per_hour=None)
    began = time.thread_time()
    for _ in range(50):
        running._write()
    busy = (time.thread_time() - began) / 50
    running.end("done")
    assert busy / meter.BEAT_SECONDS < 0.005, "of one core"


# Folders from before trials were metered.


def sealed(folder, **manifest):
    folder.path.mkdir(parents=True)
    (folder.path / "manifest.json").write_text(json.dumps(manifest))


def test_an_unmetered_trial_took_what_its_manifest_says(folder):
    sealed(folder, seconds=1800.0, gpus=2.0, cost_usd=1.0)
    [attempt] = folder.attempts()
    assert (folder.seconds(), attempt.hours, attempt.usd_per_hour, attempt.ended) == (1800.0, 1.0, 2.0, "done")


def test_an_unmetered_trial_that_was_cut_off_took_the_epochs_that_are_kept(folder):
    folder.write_history([{"epoch": 1, "seconds": 60.0}, {"epoch": 2, "seconds": 40.0}])
    assert (folder.seconds(), folder.attempts()[0].ended) == (100.0, "interrupted")


def test_an_unmetered_attempt_stays_in_the_books_when_the_trial_is_taken_up_again(folder):
    folder.write_history([{"epoch": 1, "seconds": 60.0}])
    attempted(folder, seconds=0.05)
    assert [attempt.started is None for attempt in folder.attempts()] == [True, False]
    assert folder.seconds() > 60


def test_a_trial_that_nobody_began_took_nothing(folder):
    assert (folder.seconds(), folder.attempts()) == (0, ())
    sealed(folder, scores={})
    assert folder.seconds() == 0


@pytest.mark.parametrize("text", ["", "[]", '{"attempts": [{"seconds": 3}]}', '{"attempts": 3}', "{}"])
def test_a_damaged_account_is_named_with_what_to_do(folder, text):
    attempted(folder)
    folder.attempts_file.write_text(text)
    with pytest.raises(
        LedgerError, match=r"attempts\.json must hold what the trial's attempts took: .*move it away"
    ):
        folder.seconds()


def test_epochs_are_kept_only_where_there_is_a_checkpoint(folder):
    folder.write_history([{"epoch": 1, "seconds": 60.0}, {"epoch": 2, "seconds": 40.0}])
    assert folder.epochs_kept() == 0
    checkpointed(folder)
    assert folder.epochs_kept() == 2


def test_no_thread_outlives_its_attempt(folder):
    before = threading.active_count()
    with folder.metered(gpus=0.0, usd_per_hour=None):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_of_two_accounts_of_an_attempt_the_longer_counts_with_the_end_that_either_knows():
    cut_off = Attempt(started="a", seconds=9.0, kept_seconds=4.0, gpus=0.0, usd_per_hour=None, ended=None)
    taken_up = replace(cut_off, seconds=8.0, ended="interrupted")
    after = replace(cut_off, started="b", seconds=1.0, kept_seconds=1.0, ended="done")
    assert merged([cut_off], [taken_up, after]) == (replace(cut_off, ended="interrupted"), after)
    assert merged([taken_up, after], [cut_off]) == (replace(cut_off, ended="interrupted"), after)
