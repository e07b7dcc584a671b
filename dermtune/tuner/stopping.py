"""How a sweep ends early: Tune's loop is left, and Ray with it; each trial's last whole checkpoint stays."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ray import tune
from typing_extensions import override

from dermtune.signals import Signals, Stopped

PATIENCE = 120.0
"""Seconds that a cluster is given of which no node can take a trial: a mount or a storage may come back."""


@dataclass(slots=True, kw_only=True)
class Standstill:
    """A reason why nothing goes on, which may pass."""

    holds: Callable[[], bool]
    """Whether it is there now."""
    why: Callable[[], str]
    """What to say of it, a clause."""
    patience: float
    """Seconds after which it ends the sweep."""
    since: float | None = None

    def is_final(self) -> bool:
        """Whether it has held for too long by now."""
        if not self.holds():
            self.since = None
            return False
        now = time.monotonic()
        self.since = now if self.since is None else self.since
        return now - self.since > self.patience


class Stop(tune.Stopper):
    """Ends the sweep as soon as a signal came, or a trial cannot go on for want of room, or nothing can go on."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self.standstills: list[Standstill] = []
        """What ends the sweep where it lasts."""
        self.lacking = ""
        """What the last node lacks that gave a trial back, a clause."""
        self.halted: str | None = None
        """What is full or lacking, a clause."""
        self.is_over: Callable[[], bool] = lambda: False
        """Whether nothing is left to do, though Tune waits for something."""

    @override
    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    @override
    def stop_all(self) -> bool:
        """Raises Stopped between two of Tune's steps; an Exception it would follow by waiting for its workers."""
        for standstill in self.standstills:
            if standstill.is_final():
                self.halted = standstill.why()
        if self._signals.came is not None or self.halted is not None or self.is_over():
            raise Stopped
        return False
