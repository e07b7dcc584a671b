"""Whole watches against a provider that fails, lies, and takes its time: what is believed, and what is not."""

import pytest

from dermtune.durable import read_json
from infra.watchdog import watching
from infra.watchdog.report import CONSOLE_URL
from infra.watchdog.runpod import Patience
from tests.infra.watchdog.conftest import DELETE, GET, HOUR, LIST, SELDOM
from tests.infra.watchdog.fake_runpod import HANG


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
    watch.patience = Patience(timeout=0.3, retries=1, pause=0.01)
    assert watch.run().exit_code == 0
    assert "no answer (ReadTimeoutError)" in watch.text or "no whole answer" in watch.text


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
    """Whichever answer is stale: its end is asked for on and on, and the page is told where a person ends it."""
    rented.finish()
    pod, shouts = dict(runpod.pods["abc"]), []

    def before(request):
        if not runpod.times_asked(DELETE) or request == DELETE or shouts:
            return None
        if request == LIST:
            return 200, [pod] if listed else []
        return (404, {}) if said is None else (200, {**pod, "desiredStatus": said})

    def later(hours):
        if hours > 0.6:
            assert read_json(watch.json)["exit_code"] == 3
            assert f"STILL RUNS AND IS BILLED. End it by hand: {CONSOLE_URL}, its end is asked for on" in watch.text
            assert watch.journal.kept() == ["abc"], "the next start knows of it"
            shouts.append(hours)

    runpod.before, watch.each_wait = before, later
    watch.json = rented.here / "report.json"
    report = watch.run()
    assert (report.exit_code, report.is_gone, report.state.safe) == (0, True, True)
    assert shouts


def test_an_outage_of_the_provider_at_the_limit_outlasts_no_watch(watch, rented, runpod):
    """It begins before the limit, and ends long after a request for the end was last expected to help."""
    rented.finish("a" * 16)
    watch.each_wait = lambda hours: setattr(runpod, "before", lambda _: (500, {}) if 9.5 < hours < 11 else None)
    with rented.driver():
        report = watch.run(**{**SELDOM, "poll": 0.25 * HOUR})
    assert runpod.pods == {}
    assert (report.exit_code, report.state.reason, report.state.safe) == (1, "deadline", True)
    assert (rented.into / "stopped").exists(), "ssh works, and the sweep was told in time"
    assert 11 <= report.state.rent.hours(report.until) < 11.6


def test_a_machine_that_answers_by_itself_is_there_whatever_its_provider_says(watch, rented, runpod, monkeypatch):
    """An API that has lost every pod for an hour."""
    monkeypatch.setenv("RUNPOD_POD_ID", "abc")
    rented.finish("a" * 16)
    lost = lambda request: (200, []) if request == LIST else (404, {})  # noqa: E731
    watch.each_wait = lambda hours: setattr(runpod, "before", lost if 0.2 < hours < 1.2 else lambda _: None)
    with rented.driver():
        report = watch.run(poll=1000, pull=HOUR, deadline=2 * HOUR, idle=5 * HOUR)
    assert (report.state.reason, report.state.safe, runpod.pods) == ("deadline", True, {})


def test_a_fault_of_the_watchdogs_own_is_said_and_the_limits_hold(watch, rented, runpod, monkeypatch):
    def fails(*_):
        raise ValueError("none foresaw this")

    rented.finish()
    monkeypatch.setattr(watching, "standing", fails)
    report = watch.run(deadline=2 * HOUR, poll=2000, pull=HOUR, idle=5 * HOUR)
    assert (report.exit_code, report.state.reason, runpod.pods) == (1, "deadline", {})
    assert "a fault of the watchdog's own, it goes on: ValueError('none foresaw this')" in watch.text


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
