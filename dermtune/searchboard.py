"""Where a search stands: its points come one by one, so the board learns of them as they start."""

from collections.abc import Mapping
from dataclasses import replace

from typing_extensions import override

from analysis.words import higher_is_better
from dermtune.board import ArmSoFar, Board
from dermtune.budget import Budget
from dermtune.plan import Arm, Plan, Trial


class SearchBoard(Board):
    """A board of points, the best on val first; one that is yet to be proposed counts as the baseline's trial."""

    def __init__(
        self,
        plan: Plan,
        n_points: int,
        scores: Mapping[str, float | None],
        *,
        budget: Budget,
        epochs_kept: Mapping[str, int],
    ) -> None:
        super().__init__(plan, scores, budget=budget, epochs_kept=epochs_kept)
        self._n_points = n_points

    @property
    @override
    def n_trials(self) -> int:
        return max(self._n_points, len(self.plan.trials))

    @property
    @override
    def waiting(self) -> tuple[Trial, ...]:
        to_come = self.n_trials - len(self.plan.trials)
        return (*super().waiting, *(self.plan.trials[0],) * to_come)

    @property
    @override
    def missing(self) -> tuple[Trial, ...]:
        to_come = self.n_trials - len(self.plan.trials)
        return (*super().missing, *(self.plan.trials[0],) * to_come)

    @override
    def started(self, trial: Trial) -> None:
        if all(trial.trial_id != known.trial_id for known in self.plan.trials):
            arm = Arm(name=trial.arm, levers=trial.levers)
            self.plan = replace(self.plan, arms=(*self.plan.arms, arm), trials=(*self.plan.trials, trial))
        super().started(trial)

    @override
    def arms(self) -> tuple[ArmSoFar, ...]:
        sign = 1 if higher_is_better(self.plan.sweep.primary_metric) else -1
        return tuple(sorted(super().arms(), key=lambda arm: (arm.mean is None, -sign * (arm.mean or 0.0))))
