"""Tune's events in the monitors' words, and the monitor that keeps count."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import tune
from typing_extensions import override

from dermtune.budget import Budget
from dermtune.ledger import SweepFolder
from dermtune.monitors import Monitor, Monitors
from dermtune.plan import Trial

CRASHES = 2
"""Times that a trial whose worker died is tried again; a node that was taken away does not count."""


class Events(tune.Callback):
    """Translates Tune's events into the monitors' words, and records a death that the worker could not."""

    def __init__(self, trials: Mapping[str, Trial], folder: SweepFolder, monitors: Monitors) -> None:
        self._trials = trials
        self._folder = folder
        self._monitors = monitors

    @override
    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._monitors.started(self._ours(trial))

    @override
    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        match result:
            case {"event": "epoch", "row": row}:
                self._monitors.epoch(self._ours(trial), row)
            case {"event": "notice", "text": text}:
                self._monitors.noticed(self._ours(trial), text)
            case {"event": "finished", "scores": scores}:
                self._monitors.finished(self._ours(trial), scores)
            case {"event": "failed", "reason": reason}:
                self._monitors.failed(self._ours(trial), reason)

    @override
    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._monitors.noticed(self._ours(trial), "lost its worker and goes on from its last checkpoint")

    @override
    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        reason = f"its worker died {CRASHES + 1} times; out of memory is the usual cause"
        ours = self._ours(trial)
        with contextlib.suppress(OSError):  # an exception here would end the sweep
            self._folder.trial(ours.trial_id).fail("failed", reason, _said_by_ray(trial))
        self._monitors.failed(ours, reason)

    def __getstate__(self) -> dict[str, Any]:
        """Tune writes its callbacks to disk; monitors, with their threads and terminals, live in this process."""
        return {}

    def _ours(self, trial: Any) -> Trial:
        return self._trials[trial.config["trial_id"]]


def _said_by_ray(trial: Any) -> str:
    """Ray's account of the trial's deaths; empty where it left none."""
    try:
        return Path(trial.error_file or "").read_text()
    except OSError:
        return ""


class Tally(Monitor):
    """The monitor that counts, and keeps the budget's books."""

    def __init__(self, folder: SweepFolder, budget: Budget, *, hours_per_second: float) -> None:
        self._folder = folder
        self._budget = budget
        self._hours_per_second = hours_per_second
        self.finished_ids: set[str] = set()
        self.failed_ids: set[str] = set()

    @override
    def started(self, trial: Trial) -> None:
        pass

    @override
    def epoch(self, trial: Trial, row: Mapping[str, float]) -> None:
        pass

    @override
    def noticed(self, trial: Trial, what: str) -> None:
        pass

    @override
    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:
        self._settle(trial, self.finished_ids)

    @override
    def failed(self, trial: Trial, reason: str) -> None:
        self._settle(trial, self.failed_ids)

    def _settle(self, trial: Trial, ids: set[str]) -> None:
        """Once a trial: one that lost its worker after its report reports again."""
        if trial.trial_id not in ids:
            ids.add(trial.trial_id)
            self._budget.settle(self._folder.trial(trial.trial_id).seconds() * self._hours_per_second)
