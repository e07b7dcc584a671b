"""Those who follow a sweep while it runs: the live view, the tracking server. None of them can end it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from dermtune.plan import Trial

logger = logging.getLogger(__name__)


class Monitor(Protocol):
    """Told in the driver what happens to a trial; a trial that is tried again starts again."""

    def started(self, trial: Trial) -> None:
        """Its worker begins, or goes on from its checkpoint."""

    def epoch(self, trial: Trial, row: Mapping[str, float]) -> None:
        """It has ended an epoch; `row` is the history's last."""

    def noticed(self, trial: Trial, what: str) -> None:
        """Something went wrong that it got over: its worker died, a checkpoint was damaged."""

    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:
        """Its folder is sealed; `scores` are those on test, of a search's trial those on val."""

    def pruned(self, trial: Trial, row: Mapping[str, float]) -> None:
        """A search has stopped it early, as its folder says; `row` is the history's last."""

    def failed(self, trial: Trial, reason: str) -> None:
        """It has no result and is not tried again."""


class Monitors:
    """Many monitors as one. An exception in one is said and goes no further."""

    def __init__(self, monitors: Sequence[Monitor]) -> None:
        self._monitors = tuple(monitors)

    def started(self, trial: Trial) -> None:
        """Tell all."""
        self._tell(lambda monitor: monitor.started(trial))

    def epoch(self, trial: Trial, row: Mapping[str, float]) -> None:
        """Tell all."""
        self._tell(lambda monitor: monitor.epoch(trial, row))

    def noticed(self, trial: Trial, what: str) -> None:
        """Tell all."""
        self._tell(lambda monitor: monitor.noticed(trial, what))

    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:
        """Tell all."""
        self._tell(lambda monitor: monitor.finished(trial, scores))

    def pruned(self, trial: Trial, row: Mapping[str, float]) -> None:
        """Tell all."""
        self._tell(lambda monitor: monitor.pruned(trial, row))

    def failed(self, trial: Trial, reason: str) -> None:
        """Tell all."""
        self._tell(lambda monitor: monitor.failed(trial, reason))

    def _tell(self, event: Callable[[Monitor], Any]) -> None:
        for monitor in self._monitors:
            try:
                event(monitor)
            except Exception as error:  # noqa: BLE001 - a sweep of days does not end for a view of it
                name = type(monitor).__name__
                logger.warning("%s could not follow, the sweep goes on: %s: %s", name, type(error).__name__, error)
