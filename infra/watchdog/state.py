"""What is known of a machine, what one look has shown of it, and what is done about it."""

from dataclasses import dataclass
from typing import Literal

from infra.watchdog.limits import Limit, Rent

Phase = Literal["watching", "ending", "terminating", "gone", "left"]
Reason = Literal["finished", "idle", "deadline", "cap", "asked", "abandoned", "lost"]
"""The sweep is over; nothing happens, or no sweep begins; a limit is near; a person asks for the end, or for it
without the results; the machine went away by itself."""
Presence = Literal["there", "absent", "unknown"]
"""What the provider says: `absent` where asked for it there is none and the list lacks it; `unknown`: no answer."""
Do = Literal["wait", "pull", "stop", "secure", "terminate", "shout", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is known of a machine; kept on disk, so that the next start knows it too."""

    rent: Rent
    active: float
    """When something was last seen to happen on it, or its watch began; seconds since 1970, as all moments here."""
    begun: bool = False
    """Whether a sweep was seen to run on it: what lay there before is no sweep of this machine."""
    driver: bool = False
    """Whether one ran when it last answered."""
    trace: str | None = None
    """Of its files, when it last answered."""
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
    heard: bool = False
    """Whether a request for its end was ever accepted."""
    shouted: float | None = None
    """When it was last told as still running although its end is asked for."""
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
    trace: str | None = None
    """Another one whenever a file of the sweep's folder is another; None where it could not be asked."""
    busy: bool = False
    """Whether a GPU works."""
    over: bool = False
    """Whether every trial that was asked for is done or failed."""
    pulled: bool = False
    """The last action has pulled all that was there."""
    secured: bool = False
    """And every hash was compared after it, and holds."""
    signalled: bool = False
    """The last action has told the sweep to stop."""
    heard: bool = False
    """The last action's request for the end was accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What to do now."""

    do: Do
    within: float = 0.0
    """Seconds: how long to wait, or to try at most."""
