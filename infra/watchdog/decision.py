"""What to do next about a machine: a pure function of what is known, what was just seen, and the limits.

    watching -> ending -> terminating -> gone
       ^          |            |
       +----------+            +-> left, still running

`watching`: the sweep runs, or is yet to, and results are pulled now and then. `ending`: there is a reason to end
the machine, and its results are made safe first. `terminating`: its end is asked for until it is gone. No way leads
to `terminating` but results that are safe, a hard limit, or a person who gives the results up.
"""

import math
from dataclasses import replace
from typing import Literal

from infra.watchdog.limits import Limits, stops, strikes
from infra.watchdog.state import Action, Phase, Reason, Sight, State

GRACES = 3
"""Starts that may each take a grace although a limit is near or over: who was killed in one tries again, not for
ever."""
ABSENCES = 2
"""Looks in a row by which a machine must be absent before it counts as gone."""
LOST = 600.0
"""Seconds that it must have been absent besides, where no request for its end was ever accepted."""


def step(state: State, sight: Sight, limits: Limits) -> tuple[State, Action]:
    """The state after the look, and what to do; the state is written down before it is done."""
    known = _learned(state, sight, limits)
    if _is_gone(known, sight.now):
        return replace(known, phase="gone", reason=known.reason or "lost"), Action(do="end")
    if known.phase == "terminating":
        return _terminating(known, sight, limits)
    if sight.presence == "absent" and sight.now < forced_at(known, limits):  # not believed yet, and nothing to ask
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
        shouted=None,
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
    """When the machine is ended, safe or not: at the limit, or a grace after that was first seen to be near.

    Never, where a person asks for its end: results that are not safe then keep it.
    """
    if state.reason == "asked":
        return math.inf
    at, _ = strikes(limits, state.rent)
    return at if state.near_since is None else max(at, state.near_since + limits.grace)


def patience(state: State, limits: Limits) -> float:
    """For so long nothing may happen: less, once a sweep has run there."""
    return limits.idle if state.begun else limits.start


def _is_gone(state: State, now: float) -> bool:
    """Whether it is believed to be gone: missed twice, and for a while where no end of it was ever accepted."""
    if state.absent_since is None or state.absences < ABSENCES:
        return False
    return state.heard or now - state.absent_since >= LOST


def _learned(state: State, sight: Sight, limits: Limits) -> State:
    """The state with what the look has shown: the dearest price counts, and any sign of life."""
    prices = [price for price in (state.rent.usd_per_hour, sight.usd_per_hour) if price is not None]
    absent = sight.presence == "absent"
    appeared = sight.driver is True and not state.driver
    changed = sight.trace is not None and state.trace not in (None, sight.trace)
    known = replace(
        state,
        rent=replace(state.rent, usd_per_hour=max(prices, default=None)),
        active=sight.now if appeared or changed or sight.busy else state.active,
        begun=state.begun or appeared,
        driver=state.driver if sight.driver is None else sight.driver,
        trace=sight.trace or state.trace,
        pulled=sight.now if sight.pulled else state.pulled,
        signalled=sight.signalled or (state.signalled and not appeared),
        signal_tried=None if appeared else state.signal_tried,
        heard=state.heard or sight.heard,
        absences=state.absences + 1 if absent else 0,
        absent_since=(state.absent_since or sight.now) if absent else None,
    )
    return known if known.reason == "asked" else _nearing(known, sight.now, limits)


def _nearing(state: State, now: float, limits: Limits) -> State:
    """The state with when a hard limit was first near."""
    if now < stops(limits, state.rent):
        return replace(state, near_since=None)
    if state.near_since is None:
        return replace(state, near_since=now, graces=state.graces + 1)
    return state


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
    if _is_over(state, sight):
        return "finished"
    if sight.now >= stops(limits, state.rent):
        return strikes(limits, state.rent)[1]
    if sight.driver is not None and sight.now - state.active >= patience(state, limits):
        return "idle"
    return None


def _is_over(state: State, sight: Sight) -> bool:
    """Whether a sweep has run here and has come to its end; one that an earlier machine left is yet to go on."""
    return sight.over and state.begun and sight.driver is False


def _stale(state: State) -> bool:
    """Whether something has happened since results were last pulled."""
    return state.pulled is None or state.active > state.pulled


def _ending(state: State, sight: Sight, limits: Limits) -> tuple[State, Action]:
    began = sight.now if state.ending_since is None else state.ending_since
    if state.reason in ("finished", "idle") and not state.signalled and state.active > began:  # it lives again
        watched = replace(state, phase="watching", reason=None, ending_since=None)
        return watched, Action(do="wait", within=limits.poll)
    if state.reason != "asked" and _is_over(state, sight):
        state = replace(state, reason="finished")
    saved = sight.secured and _is_quiet(state, sight, limits)
    if saved or sight.now >= forced_at(state, limits):
        return _terminate(state, sight.now, limits, saved=saved)
    left = _time_left(state, began, sight.now, limits)
    if left <= 0:
        return replace(state, phase="left"), Action(do="end")
    if sight.driver and not state.signalled and _is_due(state.signal_tried, sight.now, limits.poll):
        return replace(state, signal_tried=sight.now), Action(do="stop")
    if sight.driver and sight.now < began + limits.grace / 2:
        return state, Action(do="wait", within=min(limits.poll, limits.grace / 10))
    every = limits.pull if sight.driver and state.reason == "idle" else limits.poll
    if _is_due(state.tried, sight.now, every):
        return replace(state, tried=sight.now), Action(do="secure", within=left)
    return state, Action(do="wait", within=min(limits.poll, left))


def _is_quiet(state: State, sight: Sight, limits: Limits) -> bool:
    """Whether nobody writes: no sweep runs, or one that does not stop has done nothing since for the idle limit."""
    if sight.driver is True and state.signalled:
        return sight.now - max(state.active, state.signal_tried or 0.0) >= limits.idle
    return sight.driver is False


def _time_left(state: State, began: float, now: float, limits: Limits) -> float:
    """Seconds for making results safe: a grace where a person asks, else none that runs into a hard limit's."""
    if state.reason == "asked":
        return began + limits.grace - now
    near = stops(limits, state.rent)
    return (near if now < near else forced_at(state, limits)) - now


def _is_due(last: float | None, now: float, every: float) -> bool:
    return last is None or now - last >= every


def _terminate(state: State, now: float, limits: Limits, *, saved: bool) -> tuple[State, Action]:
    """From now on the machine's end is asked for."""
    forced = None if saved else strikes(limits, state.rent)[1]
    ended = replace(state, phase="terminating", safe=saved, forced=forced)
    return replace(ended, terminate_first=now, terminate_last=now), Action(do="terminate")


def _terminating(state: State, sight: Sight, limits: Limits) -> tuple[State, Action]:
    """Its end is asked for at each look; later on less often, and told as not to be had."""
    first = sight.now if state.terminate_first is None else state.terminate_first
    late, every = sight.now - first >= limits.give_up, limits.poll
    if late and not limits.persists:
        return replace(state, phase="left"), Action(do="end")
    if late:
        every = max(limits.poll, limits.give_up / 3)
        if _is_due(state.shouted, sight.now, limits.give_up):
            return replace(state, shouted=sight.now), Action(do="shout")
    missed = sight.presence == "absent"
    if not (missed and state.heard) and _is_due(state.terminate_last, sight.now, every):
        return replace(state, terminate_first=first, terminate_last=sight.now), Action(do="terminate")
    return state, Action(do="wait", within=limits.poll if missed else every)
