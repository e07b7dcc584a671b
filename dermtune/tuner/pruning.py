"""ASHA on what each epoch scores on val."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from typing_extensions import override

from analysis.words import higher_is_better
from dermtune.ledger import SweepFolder
from dermtune.plan import BASELINE, Trial
from dermtune.points import Points


class Pruning(ASHAScheduler):
    """Stops the points that are behind at a rung, but never the baseline, and none that is at its end.

    What earlier starts of the search have seen counts too: it is read from the trials' histories.
    """

    def __init__(self, points: Points, folder: SweepFolder, earlier: Sequence[Trial]) -> None:
        """A scheduler for these points; `earlier` are the trials that have ended already."""
        metric, search = points.sweep.primary_metric, points.search
        super().__init__(
            time_attr="epoch",
            metric=f"val_{metric}",
            mode="max" if higher_is_better(metric) else "min",
            max_t=max(search.grace_epochs, points.config.training.epochs - 1),
            grace_period=search.grace_epochs,
            reduction_factor=search.reduction,
            stop_last_trials=False,
        )
        self._folder = folder
        self.pruned: set[str] = set()
        """Tune's ids of the trials that were stopped."""
        for trial in earlier:
            ended = SimpleNamespace(trial_id=trial.trial_id, config={"trial_ids": [trial.trial_id]})
            self.on_trial_add(None, ended)

    @override
    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Take the trial in, with the epochs that it has behind it: whether it goes on was decided after each."""
        super().on_trial_add(tune_controller, trial)
        for trial_id in trial.config["trial_ids"]:  # none where it was given back
            for row in self._folder.trial(trial_id).history_rows():
                seen = {column: float(value) for column, value in row.items() if value}
                super().on_trial_result(tune_controller, trial, seen)

    @override
    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if not trial.config["trial_ids"]:
            return str(TrialScheduler.CONTINUE)
        place = f"rows/{trial.config['trial_ids'][0]}/"  # Tune has flattened what the worker reports of an epoch
        row = {key.removeprefix(place): value for key, value in result.items() if key.startswith(place)}
        decision: str = super().on_trial_result(tune_controller, trial, row)
        spared = trial.config["arm"] == BASELINE or row.get("epoch", 0) >= trial.config["epochs"]
        if decision != TrialScheduler.STOP or spared:
            return str(TrialScheduler.CONTINUE)
        self.pruned.add(trial.trial_id)
        return decision
