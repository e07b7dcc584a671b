"""Whole watches with real rsync: what is pulled, what is safe, what is ended, what is told."""

import contextlib
import json
from datetime import UTC, datetime

import pytest

from dermtune.durable import read_json
from tests.infra.watchdog.conftest import DELETE, GET, HOUR, SELDOM


def test_a_finished_sweep_is_pulled_compared_and_its_machine_gone(watch, rented, runpod):
    rented.finish()
    report = watch.run()
    assert (report.exit_code, report.state.reason, report.state.safe) == (0, "finished", True)
    assert rented.same()
    assert runpod.pods == {}
    assert "results      safe: every sha256 compared, 9 files, 9 kB; 2 of 2 trials done" in watch.text


def test_every_step_is_on_the_disk_before_it_is_done(watch, rented, runpod):
    """The end of the machine is written down as asked for before it is asked for, or a kill would hide it."""
    rented.finish()
    written = []

    def before(request):
        watched = watch.journal.read("abc")
        written.append((request, watched.state.phase, watched.state.safe))

    runpod.before = before
    watch.run()
    assert written[0] == (GET, "watching", False)
    assert (DELETE, "terminating", True) in written


def test_failed_trials_end_a_sweep_too_and_are_told(watch, rented):
    rented.finish("a" * 16)
    rented.fail("b" * 16)
    assert watch.run().exit_code == 0
    assert "1 of 2 trials done, 1 failed" in watch.text


def test_checkpoints_locks_and_half_written_files_stay_where_they_are(watch, rented):
    rented.finish("a" * 16)
    trial = rented.folder / "trials" / ("b" * 16)
    for name in ("checkpoint/checkpoint-1/optimizer.pt", "writer.lock", ".manifest.json.host-7", "history.csv"):
        (trial / name).parent.mkdir(parents=True, exist_ok=True)
        (trial / name).write_text("epoch\n")
    rented.age(1)
    watch.run(poll=600)
    assert [path.name for path in (rented.into / "trials" / ("b" * 16)).iterdir()] == ["history.csv"]


def test_while_the_sweep_runs_its_results_come_here_and_its_machine_stays(watch, rented, runpod):
    def later(hours):
        if hours > 2 and not rented.folder.joinpath("trials").exists():
            assert rented.into.joinpath("sweep.json").exists()
            assert runpod.times_asked(DELETE) == 0
            rented.finish()
            driver.kill()

    watch.each_wait = later
    with rented.driver() as driver:
        report = watch.run(**{**SELDOM, "poll": 0.5 * HOUR})
    assert (report.exit_code, report.state.reason) == (0, "finished")
    assert rented.same()


def test_a_machine_on_which_nothing_happens_is_ended_with_what_is_there(watch, rented, runpod):
    rented.finish("a" * 16)
    rented.age(1)
    report = watch.run(poll=600)
    assert (report.exit_code, report.state.reason, report.state.safe) == (1, "idle", True)
    assert rented.same()
    assert 0.5 <= report.state.rent.hours(report.until) < 0.6


@pytest.mark.parametrize(("limits", "reason"), [({}, "deadline"), ({"max_usd": 10.0}, "cap")])
def test_before_a_limit_the_sweep_is_told_to_stop_and_what_it_leaves_then_is_saved(watch, rented, limits, reason):
    rented.finish("a" * 16)
    with rented.driver():
        report = watch.run(**SELDOM, **limits)
    assert (report.exit_code, report.state.reason, report.state.safe, report.state.forced) == (
        1,
        reason,
        True,
        None,
    )
    assert (rented.into / "stopped").read_text() == "in order"
    assert "told to stop in order" in watch.text
    assert report.state.rent.usd(report.until) <= (limits.get("max_usd") or 20.0)


def test_a_sweep_that_does_not_stop_ends_with_the_limit_and_its_done_trials_are_here(watch, rented):
    rented.finish("a" * 16)

    def writes(_hours):
        with (rented.folder / "history.csv").open("a") as file:
            file.write("one more\n")

    watch.rsync = rented.rsync(f"echo more >> {rented.folder}/history.csv")
    watch.each_wait = writes
    with rented.driver(obeys=False):
        report = watch.run(**SELDOM)
    assert (report.exit_code, report.state.forced, report.state.safe) == (1, "deadline", False)
    assert (rented.folder / "deaf").exists(), "it was told"
    assert "history.csv" in watch.text.split("Not everything was saved")[1]
    assert report.check.damaged == {}
    assert report.standing.n_done == 1


def test_results_that_cannot_be_reached_keep_their_machine_until_the_limit_forces_it_and_that_is_shouted(
    watch, rented, runpod
):
    rented.finish()
    rented.away()
    deleted_at = []

    def before(request):
        if request == DELETE:
            deleted_at.append(watch.now - watch.began)

    runpod.before = before
    report = watch.run(**SELDOM)
    assert (report.exit_code, report.state.forced, report.state.safe) == (1, "deadline", False)
    assert deleted_at[0] >= 10 * HOUR
    assert "Connection timed out" in watch.text
    assert "! Ended by the deadline before its results were safe." in watch.text


def test_a_machine_that_answers_again_is_not_lost_for_having_been_away(watch, rented):
    rented.finish()
    rented.away()
    watch.each_wait = lambda hours: rented.away(hours < 3)
    assert watch.run(**SELDOM).exit_code == 0
    assert rented.same()


def test_a_folder_that_is_no_sweeps_is_never_taken_for_results_that_are_safe(watch, rented):
    (rented.folder / "sweep.json").rename(rented.here / "elsewhere")
    report = watch.run(poll=2 * HOUR, pull=4 * HOUR)
    assert (report.state.forced, report.state.safe) == ("deadline", False)
    assert "is no sweep's folder" in watch.text


def test_a_machine_that_is_another_one_is_never_asked_for_results(watch, rented, monkeypatch):
    rented.finish()
    monkeypatch.setenv("RUNPOD_POD_ID", "somebody-elses")
    report = watch.run(**SELDOM)
    assert (report.state.forced, report.state.safe, rented.into.exists()) == ("deadline", False, False)
    assert "must be abc, and says that it is somebody-elses" in watch.text


def test_a_machine_that_works_without_writing_is_not_idle(watch, rented):
    """A GPU that is busy is a sign of life."""
    rented.age(9)
    tool = rented.here / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '3\\n97\\n'\n")
    tool.chmod(0o755)
    script = rented.ssh.read_text().replace("exec sh", f"PATH={rented.here}:$PATH exec sh")
    rented.ssh.write_text(script)
    report = watch.run(poll=2 * HOUR, pull=4 * HOUR)
    assert report.state.reason == "deadline"


def test_the_report_tells_programs_what_was_spent_saved_and_left(watch, rented, runpod):
    rented.finish()
    runpod.rent("xyz")
    report = watch.run()
    told = read_json(watch.journal.of("abc") / "report.json")
    assert told == report.to_dict()
    assert (told["gone"], told["safe"], told["ended_by"], told["forced_by"]) == (True, True, "finished", None)
    assert told["trials"] == {"n_trials": 2, "n_done": 2, "n_failed": 0, "over": True}
    assert told["check"]["by"] == "sha256"
    assert told["left_running"] == [{"id": "xyz", "name": "dermtune-xyz"}]
    assert told["usd"] == pytest.approx(told["hours"] * 2.0)
    assert datetime.fromisoformat(told["since"]).tzinfo == UTC
    assert "left running dermtune-xyz (xyz)" in watch.text
    assert watch.journal.kept() == []


def test_a_machine_that_has_said_which_it_is_must_say_so_again(watch, rented, monkeypatch):
    """Its address may be somebody else's by now."""
    monkeypatch.setenv("RUNPOD_POD_ID", "abc")
    rented.finish("a" * 16)

    def later(hours):
        if hours > 3 and not rented.folder.joinpath("trials", "b" * 16).exists():
            monkeypatch.delenv("RUNPOD_POD_ID")
            rented.finish("b" * 16)

    watch.each_wait = later
    report = watch.run(**SELDOM)
    assert (report.state.forced, report.state.safe) == ("deadline", False)
    assert "must be abc, and cannot say which pod it is" in watch.text
    assert not rented.into.joinpath("trials", "b" * 16).exists()


def test_a_sweep_that_goes_on_where_an_earlier_machine_had_finished_is_waited_for(watch, rented, runpod):
    """The volume has one finished trial; packages are installed for an hour, then a second one is asked for."""
    asked = (rented.folder / "sweep.json").read_text()
    both = json.loads(asked)
    (rented.folder / "sweep.json").write_text(json.dumps({**both, "trials": both["trials"][:1]}))
    rented.finish("a" * 16)
    with contextlib.ExitStack() as begins:

        def later(hours):
            if hours > 1 and not begins.driver:
                assert runpod.times_asked(DELETE) == 0
                begins.driver = begins.enter_context(rented.driver())
                (rented.folder / "sweep.json").write_text(asked)
            if hours > 1.5 and begins.driver.poll() is None:
                rented.finish("b" * 16)
                begins.driver.kill()
                begins.driver.wait()

        begins.driver, watch.begun, watch.each_wait = None, False, later
        report = watch.run(poll=0.2 * HOUR)
    assert (report.exit_code, report.state.reason, report.standing.n_done) == (0, "finished", 2)
    assert rented.same()
