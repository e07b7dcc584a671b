"""What to do next about a machine: a pure function of what is known, what was just seen, and the limits.

    watching -> ending -> terminating -> gone
       ^          |            |
       +----------+            +-> left, still running

`watching`: the sweep runs, results are pulled now and then. `ending`: there is a reason to end the machine, and its
results are made safe first. `terminating`: its end is asked for until it is gone. No way leads to `terminating`
but results that are safe, a hard limit, or a person who gives the results up.
"""

from dataclasses import dataclass, replace
from typing import Literal

from infra.watchdog.limits import Limit, Limits, Rent, stops, strikes

Phase = Literal["watching", "ending", "terminating", "gone", "left"]
Reason = Literal["finished", "idle", "deadline", "cap", "asked", "abandoned", "lost"]
"""The sweep is over; nothing happens; a limit is near; a person asks for the end, or for it without the results;
the machine went away by itself."""
Presence = Literal["there", "absent", "unknown"]
"""What the provider says: `absent` where asked for it there is none and the list lacks it; `unknown`: no answer."""
Do = Literal["wait", "pull", "stop", "secure", "terminate", "end"]

GRACES = 3
"""Starts that may each take a grace although a limit is near or over: who was killed in one tries again, not for
ever."""
ABSENCES = 2
"""Looks in a row by which a machine must be absent before it counts as gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is known of a machine; kept on disk, so that the next start knows it too."""

    rent: Rent
    active: float
    """When something last happened on it, as far as was seen; seconds since 1970, as all moments here."""
    phase: Phase = "watching"
    reason: Reason | None = None
    """Why it is ended; None as long as it is not."""
    ending_since: float | None = None
    near_since: float | None = None
    """When a hard limit was first seen to be near, or over; None where it is not."""
    graces: int = 0
    """Starts that have seen that."""
    signalled: bool = False
    """Whether the sweep was told to stop."""
    signal_tried: float | None = None
    pulled: float | None = None
    """When results were last pulled."""
    tried: float | None = None
    """When it was last tried to make them safe, or to pull them."""
    safe: bool = False
    """Whether what was pulled is what lay there as it was ended."""
    forced: Limit | Literal["abandoned"] | None = None
    """What ended it although its results were not safe."""
    terminate_first: float | None = None
    terminate_last: float | None = None
    absences: int = 0
    absent_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one look has shown, and what came of the last action."""

    now: float
    presence: Presence
    usd_per_hour: float | None = None
    driver: bool | None = None
    """Whether a sweep runs on it; None where it could not be asked."""
    active: float | None = None
    """When a file last changed on it, now where a GPU works."""
    over: bool = False
    """Whether every trial that was asked for is done or failed."""
    pulled: bool = False
    """The last action has pulled all that was there."""
    secured: bool = False
    """And every hash was compared after it, and holds."""
    signalled: bool = False
    """The last action has told the sweep to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What to do now."""

    do: Do
    within: float = 0.0
    """Seconds: how long to wait, or to try at most."""


def step(state: State, sight: Sight, limits: Limits) -> tuple[State, Action]:
    """The state after the look, and what to do; the state is written down before it is done."""
    known = _learned(state, sight, limits)
    if known.absences >= ABSENCES:
        return replace(known, phase="gone", reason=known.reason or "lost"), Action(do="end")
    if known.phase == "terminating":
        return _terminating(known, sight, limits)
    if sight.presence == "absent":  # once is not enough, and there is nothing to ask it
        return known, Action(do="wait", within=limits.poll)
    return _watching(known, sight, limits) if known.phase == "watching" else _ending(known, sight, limits)


def resumed(state: State, now: float) -> State:
    """The state as the next start takes it up: what was seen is seen anew, an end that was asked for stays."""
    phase: Phase = "watching" if state.terminate_first is None else "terminating"
    return replace(
        state,
        phase=phase,
        reason=None if phase == "watching" else state.reason,
        active=max(state.active, now),
        ending_since=None,
        near_since=None if state.graces < GRACES else state.near_since,
        signalled=False,
        signal_tried=None,
        tried=None,
        terminate_first=None if phase == "watching" else now,
        terminate_last=None,
        absences=0,
        absent_since=None,
    )


def to_end(state: State, now: float, reason: Literal["asked", "abandoned"]) -> State:
    """The state of a machine whose end a person asks for."""
    if state.phase == "terminating":
        return state
    if reason == "asked":
        return replace(state, phase="ending", reason=reason, ending_since=now)
    return replace(state, phase="terminating", reason=reason, forced="abandoned", safe=False, terminate_first=now)


def forced_at(state: State, limits: Limits) -> float:
    """When the machine is ended, safe or not: at the limit, or a grace after that was first seen to be near."""
    at, _ = strikes(limits, state.rent)
    return at if state.near_since is None else max(at, state.near_since + limits.grace)


def _learned(state: State, sight: Sight, limits: Limits) -> State:
    """The state with what the look has shown: the dearest price counts, and the latest sign of life."""
    prices = [price for price in (state.rent.usd_per_hour, sight.usd_per_hour) if price is not None]
    absent = sight.presence == "absent"
    known = replace(
        state,
        rent=replace(state.rent, usd_per_hour=max(prices, default=None)),
        active=max(state.active, min(sight.active or 0.0, sight.now)),
        pulled=sight.now if sight.pulled else state.pulled,
        signalled=state.signalled or sight.signalled,
        absences=state.absences + 1 if absent else 0,
        absent_since=(state.absent_since or sight.now) if absent else None,
    )
    if sight.now < stops(limits, known.rent):
        return replace(known, near_since=None)
    if known.near_since is None:
        return replace(known, near_since=sight.now, graces=known.graces + 1)
    return known


def _watching(state: State, sight: Sight, limits: Limits) -> tuple[State, Action]:
    reason = _reason(state, sight, limits)
    if reason is not None:
        return _ending(_began(state, reason, sight.now), replace(sight, secured=False), limits)
    left = stops(limits, state.rent) - sight.now
    every = limits.poll if sight.driver is False and _stale(state) else limits.pull
    if sight.driver is not None and _is_due(state.tried, sight.now, every):
        return replace(state, tried=sight.now), Action(do="pull", within=left)
    return state, Action(do="wait", within=min(limits.poll, left))


def _began(state: State, reason: Reason, now: float) -> State:
    """The state as its end begins: what was pulled before is not safe until it is compared."""
    ending = replace(state, phase="ending", reason=reason, ending_since=now)
    return replace(ending, tried=None, signalled=False, signal_tried=None, safe=False)


def _reason(state: State, sight: Sight, limits: Limits) -> Reason | None:
    """Why the machine is to be ended now; None where it is not. One that does not answer is not called idle."""
    if sight.over and sight.driver is False:
        return "finished"
    if sight.now >= stops(limits, state.rent):
        return strikes(limits, state.rent)[1]
    if sight.driver is not None and sight.now - state.active >= limits.idle:
        return "idle"
    return None


def _stale(state: State) -> bool:
    """Whether something has happened since results were last pulled."""
    return state.pulled is None or state.active > state.pulled


def _ending(state: State, sight: Sight, limits: Limits) -> tuple[State, Action]:
    began = sight.now if state.ending_since is None else state.ending_since
    if state.reason == "finished" and sight.driver:  # somebody goes on with the sweep
        return replace(state, phase="watching", reason=None, ending_since=None), Action(
            do="wait", within=limits.poll
        )
    if sight.over and sight.driver is False and state.reason != "asked":
        state = replace(state, reason="finished")
    saved = sight.secured and (not sight.driver or state.signalled)  # nobody has begun to write again
    if saved or sight.now >= forced_at(state, limits):
        return _terminate(state, sight.now, limits, saved=saved)
    if state.reason == "asked" and sight.now >= began + limits.grace:
        return replace(state, phase="left"), Action(do="end")
    near = stops(limits, state.rent)
    left = (near if sight.now < near else forced_at(state, limits)) - sight.now
    if sight.driver and not state.signalled and _is_due(state.signal_tried, sight.now, limits.poll):
        return replace(state, signal_tried=sight.now), Action(do="stop")
    if sight.driver and sight.now < began + limits.grace / 2:
        return state, Action(do="wait", within=min(limits.poll, limits.grace / 10))
    if _is_due(state.tried, sight.now, limits.poll):
        return replace(state, tried=sight.now), Action(do="secure", within=left)
    return state, Action(do="wait", within=min(limits.poll, left))


def _is_due(last: float | None, now: float, every: float) -> bool:
    return last is None or now - last >= every


def _terminate(state: State, now: float, limits: Limits, *, saved: bool) -> tuple[State, Action]:
    """From now on the machine's end is asked for."""
    forced = None if saved else strikes(limits, state.rent)[1]
    ended = replace(state, phase="terminating", safe=saved, forced=forced)
    return replace(ended, terminate_first=now, terminate_last=now), Action(do="terminate")


def _terminating(state: State, sight: Sight, limits: Limits) -> tuple[State, Action]:
    first = sight.now if state.terminate_first is None else state.terminate_first
    if sight.now - first >= limits.give_up:
        return replace(state, phase="left"), Action(do="end")
    if sight.presence == "absent" or not _is_due(state.terminate_last, sight.now, limits.poll):
        return state, Action(do="wait", within=limits.poll)
    return replace(state, terminate_first=first, terminate_last=sight.now), Action(do="terminate")
