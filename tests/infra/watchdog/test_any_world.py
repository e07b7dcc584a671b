"""What must hold of the decision whatever the machine, its provider and the clock do: a model of them all."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from infra.watchdog.decision import GRACES, LOST, resumed, step, to_end
from infra.watchdog.limits import stops, strikes
from infra.watchdog.runpod import Patience
from infra.watchdog.state import Sight
from tests.infra.watchdog.test_decision import HOUR, LIMITS, PHASES, START, sight

LOOK = 2 * Patience(timeout=20).total + 3 * 20
"""Seconds that one look may take: two calls to the provider, and one to the machine."""


class AnyWorld(RuleBasedStateMachine):
    """A machine and a provider that do whatever they like, and a clock that moves as actions take their time."""

    def __init__(self):
        super().__init__()
        self.state, self.now, self.action = START, 0.0, None
        self.asked = self.ended = False
        self.files = 0
        """How often they have changed."""
        self.kills = 0
        """Since a limit is near."""

    @initialize(hours=st.floats(0, 4.8))
    def start(self, hours):
        self.now = hours * HOUR
        self.state = replace(START, active=self.now)

    @rule(
        presence=st.sampled_from(["there", "there", "there", "absent", "unknown"]),
        driver=st.sampled_from([True, False, None]),
        changes=st.booleans(),
        busy=st.booleans(),
        over=st.booleans(),
        succeeds=st.booleans(),
        took=st.floats(0, 1),
        killed=st.sampled_from([False] * 9 + [True]),
    )
    def look(self, presence, driver, changes, busy, over, succeeds, took, killed):
        if self.ended:
            return
        did = self.action.do if self.action else None
        self.now += LOOK * took
        if killed:
            self.state, did = resumed(self.state, self.now), None
            self.kills += self.now >= stops(LIMITS, START.rent)
        before, self.files = self.state, self.files + changes
        self.state, self.action = step(
            before,
            Sight(
                now=self.now,
                presence=presence,
                driver=driver,
                trace=None if driver is None else str(self.files),
                busy=busy and driver is not None,
                over=over,
                pulled=succeeds and did in ("pull", "secure"),
                secured=succeeds and did == "secure",
                signalled=succeeds and did == "stop",
                heard=succeeds and did == "terminate",
            ),
            LIMITS,
        )
        secured = succeeds and did == "secure"
        assert self.action.within >= 0
        if self.action.do == "terminate" and before.phase == "ending":
            quiet = driver is False or (driver and before.signalled and self.now - before.active >= LIMITS.idle)
            assert (secured and quiet) or self.now >= strikes(LIMITS, before.rent)[0]
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
    def it_is_watched_until_it_is_gone(self):
        if self.ended:
            missed = self.now - (self.state.absent_since or self.now)
            assert (self.state.phase, self.state.absences >= 2) == ("gone", True)
            assert self.state.heard or missed >= LOST - LIMITS.poll

    @invariant()
    def what_no_sweep_was_seen_to_finish_is_not_finished(self):
        assert self.state.reason != "finished" or self.state.begun

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
def test_the_end_of_a_machine_that_its_provider_does_not_let_go_is_asked_for_on_and_on_and_shouted(presence, phase):
    """Of a run, however long that takes; `orphans` leaves it and says so."""
    state, now, asked, shouted = replace(PHASES[phase], reason="cap"), 5 * HOUR, [], []
    while now < 12 * HOUR:
        state, action = step(state, sight(now, presence), LIMITS)
        assert action.do != "end"
        asked += [now] if action.do == "terminate" else []
        shouted += [now] if action.do == "shout" else []
        now += 1 + action.within
    gaps = [later - before for before, later in itertools.pairwise(asked)]
    assert max(gaps) <= LIMITS.give_up / 3 + 2 * LIMITS.poll
    assert len(shouted) == pytest.approx((asked[-1] - asked[0]) / LIMITS.give_up, abs=3)


def test_orphans_leave_a_machine_that_its_provider_does_not_let_go():
    state = to_end(START, HOUR, "abandoned")
    now, limits = HOUR, replace(LIMITS, persists=False)
    while state.phase == "terminating":
        state, action = step(state, sight(now), limits)
        now += 1 + action.within
    assert (state.phase, action.do) == ("left", "end")
    assert now <= HOUR + LIMITS.give_up + 3 * LIMITS.poll
