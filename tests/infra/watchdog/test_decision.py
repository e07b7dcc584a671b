"""The decision by itself: what must hold whatever the machine, its provider and the clock do."""

import itertools
from dataclasses import replace

import pytest

from infra.watchdog.decision import GRACES, LOST, resumed, step, to_end
from infra.watchdog.limits import Limits, Rent, stops, strikes
from infra.watchdog.state import Action, Sight, State

HOUR = 3600.0
LIMITS = Limits(
    deadline=10 * HOUR, max_usd=10.0, idle=0.5 * HOUR, grace=600, poll=30, pull=300, answer=20, give_up=900
)
"""At $2 an hour the cap strikes after five hours."""
NEW = State(rent=Rent(since=0.0, usd_per_hour=2.0), active=0.0)
START = replace(NEW, begun=True, driver=True, trace="0")
"""A sweep was seen to run."""


def sight(now, presence="there", **more):
    return Sight(now=now, presence=presence, **more)


@pytest.mark.parametrize(
    ("max_usd", "usd_per_hour", "hours", "which"),
    [(10, 2.0, 5, "cap"), (30, 2.0, 10, "deadline"), (None, 2.0, 10, "deadline"), (10, None, 10, "deadline")],
)
def test_the_first_limit_to_strike_is_the_cap_or_the_deadline(max_usd, usd_per_hour, hours, which):
    rent = Rent(since=100.0, usd_per_hour=usd_per_hour)
    assert strikes(replace(LIMITS, max_usd=max_usd), rent) == (100 + hours * HOUR, which)


PHASES = {
    "watching": START,
    "ending": replace(START, phase="ending", reason="idle", ending_since=HOUR),
    "ending, finished": replace(START, phase="ending", reason="finished", ending_since=HOUR),
    "ending, asked": replace(START, phase="ending", reason="asked", ending_since=HOUR),
    "ending, told": replace(
        START, phase="ending", reason="idle", ending_since=HOUR, signalled=True, signal_tried=HOUR
    ),
}
STILL = 4 * HOUR
"""By then the one that was told has done nothing for longer than the idle limit."""
MOMENTS = (HOUR, 4 * HOUR, 5 * HOUR - 601, 5 * HOUR - 599, 5 * HOUR - 1, 5 * HOUR + 1, 11 * HOUR)
EVERY = list(
    itertools.product(
        PHASES, MOMENTS, ("there", "absent", "unknown"), (True, False, None), (True, False), (True, False)
    )
)


@pytest.mark.parametrize("name", PHASES)
def test_whatever_is_seen_a_machine_is_ended_with_its_results_safe_or_beyond_a_hard_limit(name):
    seen = 0
    for phase, now, presence, driver, over, secured in EVERY:
        if phase == name:
            before = PHASES[phase]
            look = sight(now, presence, driver=driver, over=over, secured=secured, pulled=secured)
            after, action = step(before, look, LIMITS)
            if action.do == "terminate":
                seen += 1
                still = before.signal_tried is not None and now >= STILL
                compared = secured and before.phase == "ending" and (driver is False or (driver and still))
                forced = now >= strikes(LIMITS, before.rent)[0] and after.forced == "cap"
                assert compared or (forced and before.reason != "asked")
                assert after.safe == (after.forced is None)
            else:
                assert after.phase != "terminating"
    assert seen > 0 or name == "watching"


def test_a_sweep_that_runs_is_looked_at_and_pulled_now_and_then():
    state, did, now = NEW, [], 0.0
    while now < HOUR:
        look = sight(now, driver=True, trace=f"{now}", pulled=did[-1:] == ["pull"])
        state, action = step(state, look, LIMITS)
        did.append(action.do)
        now += action.within if action.do == "wait" else 1
    assert (did.count("pull"), set(did)) == (pytest.approx(12, abs=1), {"pull", "wait"})


def test_a_sweep_that_has_just_ended_is_pulled_at_the_next_look_not_after_the_usual_while():
    state = replace(START, pulled=100.0, tried=100.0, active=95.0)
    assert step(state, sight(140.0, driver=False, trace="1"), LIMITS)[1].do == "pull"
    assert step(state, sight(140.0, driver=False, trace="0"), LIMITS)[1].do == "wait"


@pytest.mark.parametrize("driver", [True, None])
def test_a_sweep_is_over_only_where_no_driver_is_seen_to_have_it(driver):
    assert step(START, sight(10.0, driver=driver, over=True), LIMITS)[0].phase == "watching"
    assert step(START, sight(10.0, driver=False, over=True), LIMITS)[0].reason == "finished"


def test_a_machine_that_does_not_answer_is_never_called_idle():
    assert step(START, sight(4 * HOUR, driver=None), LIMITS)[0].phase == "watching"
    assert step(START, sight(4 * HOUR, driver=True), LIMITS)[0].reason == "idle"


def test_what_an_earlier_machine_has_finished_does_not_end_one_on_which_no_sweep_has_begun():
    """A finished folder lies on its volume, and its packages are still being installed."""
    state, action = step(NEW, sight(60.0, driver=False, over=True, trace="0"), LIMITS)
    assert (state.phase, action.do) == ("watching", "pull")
    state, _ = step(state, sight(1.5 * HOUR, driver=False, over=True, trace="0"), LIMITS)
    assert state.phase == "watching", "images are sent and decoded for longer than the idle limit"
    state, _ = step(state, sight(1.6 * HOUR, driver=True, over=True, trace="0"), LIMITS)
    state, _ = step(state, sight(1.7 * HOUR, driver=False, over=True, trace="1"), LIMITS)
    assert state.reason == "finished"


def test_a_machine_on_which_no_sweep_begins_is_ended_like_an_idle_one():
    state, _ = step(NEW, sight(LIMITS.start - 1, driver=False, over=True), LIMITS)
    assert state.phase == "watching"
    state, _ = step(state, sight(LIMITS.start, driver=False, over=True), LIMITS)
    assert (state.phase, state.reason) == ("ending", "idle")


@pytest.mark.parametrize("life", [{"driver": True}, {"trace": "1"}, {"busy": True}], ids=str)
def test_a_machine_that_comes_to_life_while_it_is_ended_as_idle_is_watched_again(life):
    state, _ = step(replace(START, driver=False), sight(HOUR, driver=False, trace="0"), LIMITS)
    assert (state.phase, state.reason) == ("ending", "idle")
    look = sight(HOUR + 30, **{"driver": False, "trace": "0", **life}, secured=True)
    state, action = step(state, look, LIMITS)
    assert (state.phase, state.reason, action.do) == ("watching", None, "wait")


def test_files_with_a_time_to_come_do_not_keep_a_machine_that_does_nothing():
    """What counts is that they change, not what a clock there says of when."""
    state, now = START, 0.0
    while state.phase == "watching":
        state, action = step(state, sight(now, driver=False, trace="in the year 2100"), LIMITS)
        now += max(action.within if action.do == "wait" else 1, 1)
    assert (state.reason, now) == ("idle", pytest.approx(LIMITS.idle, abs=60))


def test_results_are_not_safe_while_a_sweep_that_was_told_to_stop_still_writes():
    state = PHASES["ending, told"]
    state, _ = step(state, sight(HOUR + 400, driver=True, trace="1"), LIMITS)
    state, action = step(state, sight(HOUR + 800, driver=True, trace="1", secured=True), LIMITS)
    assert (state.phase, action.do) == ("ending", "secure"), "one comparison may hold between two epochs"
    state, action = step(state, sight(HOUR + 2300, driver=True, trace="1", secured=True), LIMITS)
    assert (state.safe, state.forced, action.do) == (True, None, "terminate"), (
        "it hangs, and nothing changes any more"
    )


def test_a_sweep_that_begins_after_another_was_told_to_stop_is_told_anew():
    state = replace(PHASES["ending, told"], reason="cap", driver=False, tried=HOUR)
    state, action = step(state, sight(stops(LIMITS, START.rent) + 1, driver=True), LIMITS)
    assert (state.signalled, action.do) == (False, "stop")


def test_before_a_limit_the_sweep_is_told_to_stop_then_has_half_the_grace_then_all_is_compared():
    now = stops(LIMITS, START.rent)
    state, action = step(START, sight(now, driver=True), LIMITS)
    assert (state.reason, action.do) == ("cap", "stop")
    state, action = step(state, sight(now + 1, driver=True, signalled=True), LIMITS)
    assert (state.signalled, action.do) == (True, "wait")
    assert step(state, sight(now + 2, driver=False), LIMITS)[1] == Action(do="secure", within=598.0)
    assert step(state, sight(now + 301, driver=True), LIMITS)[1].do == "secure"


def test_a_word_that_did_not_reach_the_sweep_is_said_again():
    now = stops(LIMITS, START.rent)
    state, action = step(START, sight(now, driver=True), LIMITS)
    state, action = step(state, sight(now + 1, driver=True), LIMITS)
    assert action.do == "wait"
    assert step(state, sight(now + 31, driver=True), LIMITS)[1].do == "stop"


def test_a_sweep_that_somebody_goes_on_with_while_its_machine_is_being_ended_is_watched_again():
    state, _ = step(START, sight(10.0, driver=False, over=True), LIMITS)
    state, _ = step(state, sight(20.0, driver=True), LIMITS)
    assert (state.phase, state.reason) == ("watching", None)


def test_a_machine_is_gone_when_it_is_absent_twice_in_a_row_and_no_answer_is_no_absence():
    state = replace(
        START, phase="terminating", reason="finished", terminate_first=0.0, terminate_last=0.0, safe=True
    )
    for presence in ("absent", "unknown", "absent", "there", "absent"):
        state, action = step(state, sight(10.0, presence, heard=True), LIMITS)
        assert (state.phase, action.do) == ("terminating", "wait")
    state, action = step(state, sight(11.0, "absent"), LIMITS)
    assert (state.phase, action.do, state.absent_since, state.safe) == ("gone", "end", 10.0, True)


def test_a_machine_that_goes_away_by_itself_is_lost_and_nothing_is_said_to_be_safe():
    state, _ = step(START, sight(10.0, "absent"), LIMITS)
    state, action = step(state, sight(LOST, "absent"), LIMITS)
    assert (state.phase, action.do) == ("watching", "wait"), (
        "an API that has lost everything has done so for minutes"
    )
    state, action = step(state, sight(10.0 + LOST, "absent"), LIMITS)
    assert (state.phase, state.reason, state.safe, action.do) == ("gone", "lost", False, "end")


def test_the_end_of_a_machine_that_is_missed_is_asked_for_until_one_request_is_accepted_or_it_is_missed_for_long():
    """What answers 404 for a while may answer so to the request for the end, too."""
    state, _ = step(PHASES["ending"], sight(HOUR + 30, driver=False, secured=True), LIMITS)
    did, now = [], HOUR + 60
    while state.phase == "terminating":
        state, action = step(state, sight(now, "absent"), LIMITS)
        did.append(action.do)
        now += 30
    assert (did.count("terminate"), state.phase) == (20, "gone")


def test_a_limit_ends_a_machine_that_its_provider_seems_to_have_lost():
    now = strikes(LIMITS, START.rent)[0] + 1
    state, action = step(replace(START, near_since=now - 600, graces=1), sight(now, "absent"), LIMITS)
    assert (state.phase, state.forced, action.do) == ("terminating", "cap", "terminate")


def test_a_price_that_falls_to_nothing_is_not_believed_and_one_that_rises_is():
    state, _ = step(START, sight(1.0, usd_per_hour=0.1), LIMITS)
    assert state.rent.usd_per_hour == 2.0
    assert step(state, sight(1.0, usd_per_hour=3.0), LIMITS)[0].rent.usd_per_hour == 3.0


def test_an_end_that_a_person_asks_for_waits_for_the_results_and_leaves_the_machine_without_them():
    state = to_end(START, HOUR, "asked")
    state, action = step(state, sight(HOUR), LIMITS)
    assert action.do == "secure"
    left, action = step(state, sight(HOUR + 601), LIMITS)
    assert (left.phase, action.do) == ("left", "end")
    assert step(state, sight(HOUR + 60, driver=False, secured=True), LIMITS)[1].do == "terminate"


def test_an_end_that_a_person_asks_for_is_not_forced_by_a_limit_that_is_long_over():
    now = 20 * HOUR
    state = replace(to_end(START, now, "asked"), near_since=now - HOUR, graces=GRACES)
    for late in (0, 599, 606):
        state, action = step(state, sight(now + late, driver=False), LIMITS)
        assert action.do != "terminate"
    assert (state.phase, state.forced) == ("left", None)


def test_results_that_a_person_gives_up_are_not_looked_for():
    state, action = step(to_end(START, HOUR, "abandoned"), sight(HOUR), LIMITS)
    assert (action.do, state.forced, state.safe) == ("terminate", "abandoned", False)


@pytest.mark.parametrize("phase", ["watching", "ending", "left"])
def test_after_a_kill_what_was_not_ended_yet_is_watched_again(phase):
    state = replace(START, phase=phase, reason="idle", ending_since=5.0, signalled=True, pulled=4.0)
    again = resumed(state, HOUR)
    assert (again.phase, again.reason, again.rent, again.pulled) == ("watching", None, START.rent, 4.0)
    assert step(again, sight(HOUR, driver=True), LIMITS)[0].phase == "watching", "the time away is not idle time"


def test_after_a_kill_an_end_that_was_asked_for_goes_on():
    state = replace(START, phase="terminating", reason="cap", terminate_first=5.0, safe=True, absences=1)
    state, action = step(resumed(state, HOUR), sight(HOUR), LIMITS)
    assert (state.phase, state.safe, action.do) == ("terminating", True, "terminate")
