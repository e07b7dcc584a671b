"""How a sweep ends early: Tune's loop is left, and Ray with it; each trial's last whole checkpoint stays."""

from typing import Any

from ray import tune
from typing_extensions import override

from dermtune.signals import Signals, Stopped


class Stop(tune.Stopper):
    """Ends the sweep as soon as a signal came, or a trial cannot go on for want of room."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self.halted: str | None = None
        """What is full, a clause."""

    @override
    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    @override
    def stop_all(self) -> bool:
        """Raises Stopped between two of Tune's steps; an Exception it would follow by waiting for its workers."""
        if self._signals.came is not None or self.halted is not None:
            raise Stopped
        return False
