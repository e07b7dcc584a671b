"""Tune's events in the monitors' words, and the monitor that keeps count."""

from collections.abc import Mapping
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
    """Translates Tune's events into the monitors' words."""

    def __init__(self, trials: Mapping[str, Trial], monitors: Monitors) -> None:
        self._trials = trials
        self._monitors = monitors

    @override
    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore of its own, and monitors hold threads and terminals."""
        return {}

    @override
    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._monitors.started(self._trials[trial.config["trial_id"]])

    @override
    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        ours = self._trials[trial.config["trial_id"]]
        match result:
            case {"event": "epoch", "row": row}:
                self._monitors.epoch(ours, row)
            case {"event": "finished", "scores": scores}:
                self._monitors.finished(ours, scores)
            case {"event": "failed", "reason": reason}:
                self._monitors.failed(ours, reason)

    @override
    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._monitors.failed(
            self._trials[trial.config["trial_id"]],
            f"its worker died {CRASHES + 1} times; out of memory is the usual cause",
        )


class Tally(Monitor):
    """The monitor that counts, keeps the budget's books, and records a death that the worker could not."""

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
    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:
        self.finished_ids.add(trial.trial_id)
        self._settle(trial)

    @override
    def failed(self, trial: Trial, reason: str) -> None:
        self.failed_ids.add(trial.trial_id)
        if self._folder.trial(trial.trial_id).failure() is None:
            self._folder.trial(trial.trial_id).fail("failed", reason, "")
        self._settle(trial)

    def _settle(self, trial: Trial) -> None:
        self._budget.settle(self._folder.trial(trial.trial_id).seconds() * self._hours_per_second)
