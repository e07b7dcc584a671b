"""The decision by itself: what must hold whatever the machine, its provider and the clock do."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from infra.watchdog.decision import GRACES, Action, Sight, State, resumed, step, to_end
from infra.watchdog.limits import Limits, Rent, stops, strikes

HOUR = 3600.0
LOOK = 60.0
"""Seconds that one look, or one word to the provider, may take."""
LIMITS = Limits(
    deadline=10 * HOUR, max_usd=10.0, idle=0.5 * HOUR, grace=600, poll=30, pull=300, answer=20, give_up=900
)
"""At $2 an hour the cap strikes after five hours."""
START = State(rent=Rent(since=0.0, usd_per_hour=2.0), active=0.0)


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
    "ending, told": replace(START, phase="ending", reason="idle", ending_since=HOUR, signalled=True),
    "ending, asked": replace(START, phase="ending", reason="asked", ending_since=HOUR),
}
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
                compared = secured and before.phase == "ending" and (not driver or before.signalled)
                assert compared or (now >= strikes(LIMITS, before.rent)[0] and after.forced == "cap")
                assert after.safe == (after.forced is None)
            else:
                assert after.phase != "terminating"
    assert seen > 0 or name == "watching"


def test_a_sweep_that_runs_is_looked_at_and_pulled_now_and_then():
    state, did, now = START, [], 0.0
    while now < HOUR:
        state, action = step(state, sight(now, driver=True, active=now, pulled=did[-1:] == ["pull"]), LIMITS)
        did.append(action.do)
        now += action.within if action.do == "wait" else 1
    assert (did.count("pull"), set(did)) == (pytest.approx(12, abs=1), {"pull", "wait"})


def test_a_sweep_that_has_just_ended_is_pulled_at_the_next_look_not_after_the_usual_while():
    state = replace(START, pulled=100.0, tried=100.0, active=100.0)
    assert step(state, sight(140.0, driver=False, active=135.0), LIMITS)[1].do == "pull"
    assert step(state, sight(140.0, driver=False, active=95.0), LIMITS)[1].do == "wait"


@pytest.mark.parametrize("driver", [True, None])
def test_a_sweep_is_over_only_where_no_driver_is_seen_to_have_it(driver):
    assert step(START, sight(10.0, driver=driver, over=True), LIMITS)[0].phase == "watching"
    assert step(START, sight(10.0, driver=False, over=True), LIMITS)[0].reason == "finished"


def test_a_machine_that_does_not_answer_is_never_called_idle():
    assert step(START, sight(4 * HOUR, driver=None), LIMITS)[0].phase == "watching"
    assert step(START, sight(4 * HOUR, driver=True), LIMITS)[0].reason == "idle"


def test_before_a_limit_the_sweep_is_told_to_stop_then_has_half_the_grace_then_all_is_compared():
    now = stops(LIMITS, START.rent)
    state, action = step(START, sight(now, driver=True, active=now), LIMITS)
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
    state, _ = step(state, sight(20.0, driver=True, active=20.0), LIMITS)
    assert (state.phase, state.reason) == ("watching", None)


def test_a_machine_is_gone_when_it_is_absent_twice_in_a_row_and_no_answer_is_no_absence():
    state = replace(
        START, phase="terminating", reason="finished", terminate_first=0.0, terminate_last=0.0, safe=True
    )
    for presence in ("absent", "unknown", "absent", "there", "absent"):
        state, action = step(state, sight(10.0, presence), LIMITS)
        assert (state.phase, action.do) == ("terminating", "wait")
    state, action = step(state, sight(11.0, "absent"), LIMITS)
    assert (state.phase, action.do, state.absent_since, state.safe) == ("gone", "end", 10.0, True)


def test_a_machine_that_goes_away_by_itself_is_lost_and_nothing_is_said_to_be_safe():
    state, _ = step(START, sight(10.0, "absent"), LIMITS)
    state, action = step(state, sight(40.0, "absent"), LIMITS)
    assert (state.phase, state.reason, state.safe, action.do) == ("gone", "lost", False, "end")


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
    assert step(state, sight(HOUR + 60, secured=True), LIMITS)[1].do == "terminate"


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


class AnyWorld(RuleBasedStateMachine):
    """A machine and a provider that do whatever they like, and a clock that moves as actions take their time."""

    def __init__(self):
        super().__init__()
        self.state, self.now, self.action = START, 0.0, None
        self.asked = self.ended = False
        self.kills = 0
        """Since a limit is near."""

    @initialize(hours=st.floats(0, 4.8))
    def start(self, hours):
        self.now = hours * HOUR
        self.state = replace(START, active=self.now)

    @rule(
        presence=st.sampled_from(["there", "there", "there", "absent", "unknown"]),
        driver=st.sampled_from([True, False, None]),
        quiet=st.floats(0, HOUR),
        over=st.booleans(),
        succeeds=st.booleans(),
        took=st.floats(0, 1),
        killed=st.sampled_from([False] * 9 + [True]),
    )
    def look(self, presence, driver, quiet, over, succeeds, took, killed):
        if self.ended:
            return
        did = self.action.do if self.action else None
        self.now += LOOK * took
        if killed:
            self.state, did = resumed(self.state, self.now), None
            self.kills += self.now >= stops(LIMITS, START.rent)
        before = self.state
        self.state, self.action = step(
            before,
            Sight(
                now=self.now,
                presence=presence,
                driver=driver,
                active=None if driver is None else self.now - quiet,
                over=over,
                pulled=succeeds and did in ("pull", "secure"),
                secured=succeeds and did == "secure",
                signalled=succeeds and did == "stop",
            ),
            LIMITS,
        )
        secured = succeeds and did == "secure"
        assert self.action.within >= 0
        if self.action.do == "terminate" and before.phase == "ending":
            assert secured or self.now >= strikes(LIMITS, before.rent)[0]
        if self.action.do == "terminate":
            assert self.state.safe or self.state.forced == "cap"
            self.asked = True
        self.ended = self.action.do == "end"
        slow = {"wait": 1.0, "pull": took, "secure": took}.get(self.action.do, 0.0)
        self.now += slow * self.action.within + (LOOK * took if self.action.do in ("stop", "terminate") else 0.0)

    @invariant()
    def it_is_ended_at_the_cap_but_for_a_poll_and_a_few_looks_and_a_grace_a_kill(self):
        if not self.asked and not self.ended:
            graces = min(self.kills, GRACES - 1) * LIMITS.grace
            late = (1 + self.kills) * (LIMITS.poll + 3 * LOOK)
            assert self.now <= strikes(LIMITS, START.rent)[0] + graces + late

    @invariant()
    def the_end_is_gone_or_told_as_still_running(self):
        if self.ended:
            assert self.state.phase in ("gone", "left")
            assert self.state.phase == "left" or self.state.absences >= 2

    def teardown(self):
        """From wherever it came to, it ends, in a world that only becomes honest."""
        honest = itertools.count()
        while not self.ended and next(honest) < 2000:
            presence = "absent" if self.asked else "there"
            self.now += 1
            self.state, self.action = step(self.state, sight(self.now, presence, driver=True), LIMITS)
            self.asked |= self.action.do == "terminate"
            self.ended = self.action.do == "end"
            self.now += self.action.within
        assert self.ended


AnyWorld.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestAnyWorld = AnyWorld.TestCase


@settings(max_examples=40, deadline=None)
@given(presence=st.sampled_from(["there", "unknown"]), phase=st.sampled_from([*PHASES]))
def test_a_provider_that_never_lets_go_is_told_as_still_running_and_not_waited_for_for_ever(presence, phase):
    state, now = PHASES[phase], HOUR
    for _ in range(4000):
        state, action = step(state, sight(now, presence), LIMITS)
        if action.do == "end":
            break
        now += 1 + action.within
    assert (state.phase, action.do) == ("left", "end")
    assert now <= 5 * HOUR + LIMITS.grace + LIMITS.give_up + 3 * LIMITS.poll
