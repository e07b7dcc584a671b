"""The limits that a machine is watched under, and when they strike."""

from dataclasses import dataclass
from typing import Literal

Limit = Literal["deadline", "cap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All times in seconds."""

    deadline: float
    """From the machine's start to its end, whatever it is at then."""
    max_usd: float | None
    """What it may cost; None: only time is limited."""
    idle: float
    """For so long nothing may change on it."""
    grace: float
    """Before a limit strikes: for the sweep to stop in order, and for a last pull."""
    poll: float
    """Between two looks."""
    pull: float
    """Between two pulls while the sweep runs."""
    answer: float
    """For one answer of the machine or its provider."""
    give_up: float
    """For so long a machine that was asked to end is asked again, until it is told as still running."""
    start: float = 7200.0
    """For so long no sweep may run on it, before one was seen to."""
    persists: bool = True
    """Whether its end is asked for on and on after it was told as still running; else it is left so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rent:
    """What is paid for."""

    since: float
    """Start of the machine, or of its being watched where the provider does not tell it; seconds since 1970."""
    usd_per_hour: float | None
    """None where nobody told it."""

    def hours(self, now: float) -> float:
        """Hours until now."""
        return max(0.0, now - self.since) / 3600

    def usd(self, now: float) -> float | None:
        """Dollars until now; None where the price is not known."""
        return None if self.usd_per_hour is None else self.hours(now) * self.usd_per_hour


def strikes(limits: Limits, rent: Rent) -> tuple[float, Limit]:
    """When the first of the hard limits is reached, in seconds since 1970, and which it is."""
    deadline = rent.since + limits.deadline
    if limits.max_usd is None or rent.usd_per_hour is None:
        return deadline, "deadline"
    cap = rent.since + 3600 * limits.max_usd / rent.usd_per_hour
    return (cap, "cap") if cap < deadline else (deadline, "deadline")


def stops(limits: Limits, rent: Rent) -> float:
    """When the sweep must be told to stop, so that the grace is over as the limit strikes."""
    return strikes(limits, rent)[0] - limits.grace
