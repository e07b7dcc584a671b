"""Whole watches against the fake provider, with real rsync: what is saved, what is ended, what is told."""

from datetime import UTC, datetime

import pytest

from dermtune.durable import read_json
from infra.watchdog.report import CONSOLE_URL
from tests.infra.watchdog.conftest import HOUR
from tests.infra.watchdog.fake_runpod import HANG

SELDOM = {"idle": 20 * HOUR, "pull": 4 * HOUR, "poll": 2 * HOUR}
"""A watch to a limit ten hours away, in a few looks."""
UNSEEN = (
    "cd trials/aaaaaaaaaaaaaaaa && touch -r test.parquet time && "
    "printf X | dd of=test.parquet bs=1 conv=notrunc status=none && touch -r time test.parquet && rm time"
)
"""Shell that alters a file and leaves it its size and its time."""
GET, LIST, DELETE = "GET /pods/abc", "GET /pods", "DELETE /pods/abc"


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


def test_a_machine_that_is_another_one_is_never_asked_for_results(watch, rented, monkeypatch):
    rented.finish()
    monkeypatch.setenv("RUNPOD_POD_ID", "somebody-elses")
    report = watch.run(**SELDOM)
    assert (report.state.forced, report.state.safe, rented.into.exists()) == ("deadline", False, False)
    assert "must be abc, and says that it is somebody-elses" in watch.text


def test_a_pod_that_goes_away_in_the_middle_is_told_as_lost_with_what_was_saved(watch, rented, runpod):
    rented.finish("a" * 16)

    def loses(hours):
        if hours > 0.1:
            runpod.pods.clear()

    watch.each_wait = loses
    with rented.driver():
        report = watch.run(poll=300)
    assert (report.exit_code, report.state.reason, report.is_gone) == (1, "lost", True)
    assert runpod.times_asked(DELETE) == 0
    assert report.standing.n_done == 1
    assert "it went away while it was watched" in watch.text


def test_a_provider_that_loses_the_pod_for_a_moment_is_not_believed(watch, rented, runpod):
    rented.finish("a" * 16)
    absent, done = [], rented.folder / "trials" / ("b" * 16)

    def before(request):
        if watch.now - watch.began > 60 and len(absent) < 2:
            absent.append(request)
            return (404, {}) if request == GET else (200, [])
        return None

    runpod.before = before
    watch.each_wait = lambda _: rented.finish("b" * 16) if len(absent) == 2 and not done.is_dir() else None
    assert watch.run().exit_code == 0
    assert absent == [GET, LIST]


@pytest.mark.parametrize(
    "answer", [(500, {}), (429, {}), (200, b"<html>we are down</html>"), (302, {}), (401, {}), (200, {"id": None})]
)
def test_answers_that_are_none_are_never_taken_for_a_machine_that_is_gone(watch, rented, runpod, answer):
    """Of twelve looks in a row none learns anything; the thirteenth finds it there."""
    rented.finish()
    refused = []

    def before(request):
        if len(refused) < 24:
            refused.append(request)
            return answer
        return None

    runpod.before = before
    watch.timeout = 1
    report = watch.run()
    assert (report.exit_code, report.state.reason) == (0, "finished")
    assert rented.same()
    assert not any("stolen" in request for request in runpod.asked), "the key is sent nowhere else"


def test_an_answer_that_never_comes_is_waited_for_a_while_and_asked_for_again(watch, rented, runpod):
    rented.finish()
    hung = []

    def before(request):
        if len(hung) < 3:
            hung.append(request)
            return HANG
        return None

    runpod.before = before
    watch.timeout = 0.3
    assert watch.run().exit_code == 0
    assert "no answer (ReadTimeoutError)" in watch.text


@pytest.mark.parametrize("lie", ["TERMINATED", "EXITED"])
def test_a_state_that_says_it_is_over_is_not_believed_while_the_pod_is_listed(watch, rented, runpod, lie):
    rented.finish()
    runpod.pods["abc"]["desiredStatus"] = lie
    report = watch.run()
    assert report.exit_code == 0
    assert runpod.times_asked(DELETE) == 1
    assert f"abc is {lie}, and billed all the same" in watch.text


def test_a_pod_that_is_terminated_by_its_id_and_still_listed_is_ended_until_it_is_in_neither(watch, rented, runpod):
    rented.finish()
    runpod.deletes_until_gone = 4
    report = watch.run()
    assert (report.exit_code, runpod.times_asked(DELETE)) == (0, 4)


@pytest.mark.parametrize(
    ("said", "listed"),
    [("RUNNING", False), ("TERMINATED", True), (None, True)],
    ids=["by id", "in the list", "both"],
)
def test_a_pod_of_which_one_answer_says_that_it_is_there_is_not_called_gone(watch, rented, runpod, said, listed):
    """Whichever answer is stale: the machine is told as still running, with the page where a person ends it."""
    rented.finish()
    pod = dict(runpod.pods["abc"])

    def before(request):
        if not runpod.times_asked(DELETE) or request == DELETE:
            return None
        if request == LIST:
            return 200, [pod] if listed else []
        return (404, {}) if said is None else (200, {**pod, "desiredStatus": said})

    runpod.before = before
    report = watch.run()
    assert (report.exit_code, report.is_gone, report.state.safe) == (3, False, True)
    assert f"STILL RUNS AND IS BILLED. End it by hand: {CONSOLE_URL}" in watch.text
    assert watch.journal.kept() == ["abc"], "the next start knows of it"


def test_a_provider_that_refuses_to_end_it_is_asked_again_and_told_of_at_last(watch, rented, runpod):
    rented.finish()
    runpod.before = lambda request: (500, {}) if request == DELETE else None
    watch.timeout = 1
    report = watch.run()
    assert (report.exit_code, report.state.safe) == (3, True)
    assert runpod.times_asked(DELETE) > 20
    assert "DELETE" in watch.text


def test_a_price_of_nothing_does_not_lift_the_cap(watch, rented, runpod):
    rented.finish("a" * 16)
    runpod.pods["abc"]["costPerHr"] = 0
    with rented.driver():
        report = watch.run(**SELDOM, max_usd=4.0)
    assert (report.state.reason, report.state.rent.usd_per_hour) == ("cap", 2.0)
    assert report.state.rent.hours(report.until) <= 2.0


def test_a_price_that_rises_brings_the_cap_nearer(watch, rented, runpod):
    rented.finish("a" * 16)
    watch.each_wait = lambda hours: runpod.pods and runpod.pods["abc"].update(costPerHr=8.0 if hours > 0.5 else 2.0)
    with rented.driver():
        report = watch.run(**{**SELDOM, "poll": 0.3 * HOUR}, max_usd=8.0)
    assert (report.state.reason, report.state.rent.usd_per_hour) == ("cap", 8.0)
    assert report.state.rent.hours(report.until) <= 1.2


def test_a_price_that_a_person_names_holds_whatever_the_provider_says(watch, rented, runpod):
    rented.finish()
    runpod.pods["abc"]["costPerHr"] = 99
    watch.usd_per_hour = 2.0
    assert watch.run().state.rent.usd_per_hour == 2.0


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


def test_a_full_disk_here_keeps_the_machine_and_is_said(watch, rented, monkeypatch):
    rented.finish()
    watch.rsync = rented.rsync(":")
    full = rented.here / "rsync"
    full.write_text('#!/bin/sh\necho "rsync: write failed: No space left on device (28)" >&2\nexit 11\n')
    watch.each_wait = lambda hours: full.write_text('#!/bin/sh\nexec rsync "$@"\n') if hours > 1 else None
    report = watch.run(idle=5 * HOUR, poll=0.6 * HOUR)
    assert report.exit_code == 0
    assert "No space left on device" in watch.text


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
