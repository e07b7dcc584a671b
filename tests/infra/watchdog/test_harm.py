"""Files that come to harm, here, there and on their way; and the time that it takes to find out."""

import shutil

import pytest

from dermtune.ledger import TrialFolder
from infra.watchdog.checking import Pulled
from infra.watchdog.remote import Remote, RemoteError
from tests.infra.watchdog.conftest import HOUR, SELDOM

UNSEEN = (
    "cd trials/aaaaaaaaaaaaaaaa && touch -r test.parquet time && "
    "printf X | dd of=test.parquet bs=1 conv=notrunc status=none && touch -r time test.parquet && rm time"
)
"""Shell that alters a file and leaves it its size and its time."""


@pytest.mark.parametrize(
    ("what", "then"),
    [
        ("truncated", "truncate -s 7 trials/aaaaaaaaaaaaaaaa/test.parquet"),
        ("altered, with size and time as they were", UNSEEN),
        ("lost", "rm trials/aaaaaaaaaaaaaaaa/val.parquet"),
        ("lost and in no manifest", "rm -f report.html"),
    ],
)
def test_a_file_that_comes_to_harm_on_its_way_is_noticed_and_pulled_again(watch, rented, runpod, what, then):
    rented.finish()
    (rented.folder / "report.html").write_text("a report")
    mark = rented.here / "pulls"
    watch.rsync = rented.rsync(f'printf x >> {mark}; if [ "$(cat {mark})" = xx ]; then {then}; fi')
    report = watch.run()
    assert mark.read_text() == "xxx", "while it is watched, the last one, and once more"
    assert (report.exit_code, report.check.damaged) == (0, {})
    assert rented.same()
    assert "1 pulled file is not what lies on abc" in watch.text


def test_harm_that_neither_size_nor_time_shows_is_found_as_soon_as_no_sweep_runs(watch, rented):
    rented.finish()
    mark = rented.here / "pulls"
    watch.rsync = rented.rsync(f'printf x >> {mark}; if [ "$(cat {mark})" = x ]; then {UNSEEN}; fi')
    watch.each_wait = lambda _: (rented.folder / "report.html").write_text("a report")
    report = watch.run(poll=300)
    assert (report.exit_code, report.state.reason) == (0, "finished")
    assert rented.same()


def test_a_done_trial_that_was_pulled_whole_is_not_overwritten_by_one_that_has_rotted_since(watch, rented):
    rented.finish("a" * 16)
    good = (rented.folder / "trials" / ("a" * 16) / "test.parquet").read_bytes()

    def rots(hours):
        if hours >= 1 and not (rented.folder / "trials" / ("b" * 16)).exists():
            (rented.folder / "trials" / ("a" * 16) / "test.parquet").write_bytes(b"rot")
            rented.finish("b" * 16)

    watch.each_wait = rots
    report = watch.run(**{**SELDOM, "poll": 0.5 * HOUR})
    assert (report.exit_code, report.check.damaged) == (0, {})
    assert (rented.into / "trials" / ("a" * 16) / "test.parquet").read_bytes() == good


def test_a_trial_that_had_rotted_before_it_was_pulled_is_told(watch, rented):
    rented.finish()
    (rented.folder / "trials" / ("a" * 16) / "test.parquet").write_bytes(b"rot")
    rented.age(1)
    report = watch.run(poll=600)
    assert (report.exit_code, report.state.safe, [*report.check.damaged]) == (1, True, ["a" * 16])
    assert f"Damaged trials, the sweep's command runs them again: {'a' * 16}: test.parquet is not" in watch.text


def test_a_machine_that_comes_back_with_an_empty_disk_empties_nothing_here(watch, rented):
    rented.finish("a" * 16)

    def wiped(hours):
        for path in sorted(rented.folder.rglob("*"), reverse=True) if hours > 0.2 else ():
            path.unlink() if path.is_file() else path.rmdir()

    watch.each_wait = wiped
    report = watch.run(deadline=4 * HOUR, idle=3 * HOUR, poll=HOUR)
    assert (report.exit_code, report.state.safe) == (1, False)
    assert (rented.into / "trials" / ("a" * 16) / "manifest.json").exists()


def test_a_full_disk_here_keeps_the_machine_and_is_said(watch, rented, monkeypatch):
    rented.finish()
    watch.rsync = rented.rsync(":")
    full = rented.here / "rsync"
    full.write_text('#!/bin/sh\necho "rsync: write failed: No space left on device (28)" >&2\nexit 11\n')
    watch.each_wait = lambda hours: full.write_text('#!/bin/sh\nexec rsync "$@"\n') if hours > 1 else None
    report = watch.run(idle=5 * HOUR, poll=0.6 * HOUR)
    assert report.exit_code == 0
    assert "No space left on device" in watch.text


def test_what_it_takes_to_read_what_is_here_comes_off_the_time_for_a_pull(watch, rented, monkeypatch):
    """A hard limit waits for no hash: of the time that a pull may take, reading has taken two minutes a trial."""
    rented.finish()
    given = []

    def reads(trial):
        watch.now += 120
        return True

    def pulls(_self, into, *, within, **_):
        given.append(within)
        raise RemoteError("none")

    rented.into.mkdir(parents=True)
    shutil.copytree(rented.folder / "trials", rented.into / "trials")
    monkeypatch.setattr(TrialFolder, "is_done", reads)
    monkeypatch.setattr(Remote, "pull", pulls)
    watch.run(deadline=HOUR, idle=5 * HOUR, poll=HOUR, pull=HOUR)
    assert given[0] == HOUR - 600 - 240


def test_what_is_here_is_not_read_beyond_the_time_there_is(tmp_path):
    for trial_id in ("a" * 16, "b" * 16):
        (tmp_path / "trials" / trial_id).mkdir(parents=True)
    looked = []

    def on_time():
        looked.append(1)
        if len(looked) > 1:
            raise TimeoutError("up")

    with pytest.raises(TimeoutError):
        Pulled(tmp_path).sealed(on_time)
    assert len(looked) == 2
