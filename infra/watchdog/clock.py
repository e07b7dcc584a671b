"""A clock that no correction of the computer's time turns back: limits strike when they should, or early."""

import time
from collections.abc import Callable

JUMP = 60.0
"""Seconds from which a correction is told."""


def steady() -> float:
    """Seconds since some moment, whatever the time is set to; on Linux those that the computer slept, too."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock:
    """Seconds since 1970. It goes on by what has passed at least, by the time of day or by the steady clock.

    A computer that slept has a time of day that went on; one whose time is set back has a steady clock that did.
    """

    def __init__(
        self,
        said: Callable[[str], None],
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady,
    ) -> None:
        self._said, self._wall, self._steady = said, wall, steady
        self._seen = wall(), steady()
        self._now = self._seen[0]

    def __call__(self) -> float:
        """Now; never before what it was."""
        seen = self._wall(), self._steady()
        by_wall, by_steady = (now - before for now, before in zip(seen, self._seen, strict=True))
        self._seen = seen
        if abs(by_wall - by_steady) >= JUMP:
            self._said(
                f"the time of this computer was set {by_wall - by_steady:+.0f} s; limits strike no later for it"
            )
        self._now += max(by_wall, by_steady, 0.0)
        return self._now
