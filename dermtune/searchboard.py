"""Where a search stands: its points come one by one, so the board learns of each as it starts."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from typing_extensions import override

from analysis.words import higher_is_better
from dermtune.board import Board
from dermtune.budget import Budget
from dermtune.config import Scalar
from dermtune.firstplan import TO_COME
from dermtune.ledger import SweepFolder
from dermtune.outcome import outcome_of
from dermtune.plan import BASELINE, Arm, Plan, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class PointSoFar:
    """A point that is done."""

    name: str
    levers: Mapping[str, Scalar]
    score: float
    """The primary metric on val."""

    @property
    def is_baseline(self) -> bool:
        """Whether it is what the others change."""
        return self.name == BASELINE


class SearchBoard(Board):
    """A board of a search's points. One that is to come counts as a trial of the baseline's length, or shorter.

    It knows a point by its `started`; scores are those on val.
    """

    noun = "point"
    scored_on = " on val"

    def __init__(
        self,
        plan: Plan,
        n_points: int,
        folder: SweepFolder,
        *,
        budget: Budget | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A board of `n_points` points; the plan has those that are proposed, or the baseline alone.

        What has become of them by now is read from the folder; those that have failed are to be tried again.
        """
        folders = {trial.trial_id: folder.trial(trial.trial_id) for trial in plan.trials}
        outcomes = {trial_id: outcome_of(of_trial) for trial_id, of_trial in folders.items()}
        metric = plan.sweep.primary_metric
        super().__init__(
            plan,
            {trial_id: one.scores.get(metric) for trial_id, one in outcomes.items() if one and one.state == "done"},
            budget=budget,
            epochs_kept={trial_id: of_trial.epochs_kept() for trial_id, of_trial in folders.items()},
            clock=clock,
        )
        self.epochs_pruned = {
            trial_id: one.epochs for trial_id, one in outcomes.items() if one and one.state == "pruned"
        }
        self._n_points = n_points

    @override
    def started(self, trial: Trial) -> None:
        if all(trial.trial_id != known.trial_id for known in self.plan.trials):
            arm = Arm(name=trial.arm, levers=trial.levers)
            self.plan = replace(self.plan, arms=(*self.plan.arms, arm), trials=(*self.plan.trials, trial))
        super().started(trial)

    @property
    @override
    def n_trials(self) -> int:
        return max(self._n_points, len(self.plan.trials))

    @property
    @override
    def missing(self) -> tuple[Trial, ...]:
        known = [trial for trial in super().missing if trial.trial_id not in self.epochs_pruned]
        return (*known, *self._to_come)

    @property
    @override
    def waiting(self) -> tuple[Trial, ...]:
        return (*super().waiting, *self._to_come)

    @property
    @override
    def share_ended(self) -> float:
        running = sum(running.epochs_done / running.epochs for running in self.running)
        return (self.n_ended + running) / self.n_trials

    @property
    def ranked(self) -> tuple[PointSoFar, ...]:
        """The points that are done, the best first."""
        sign = 1 if higher_is_better(self.plan.sweep.primary_metric) else -1
        done = (
            PointSoFar(name=trial.arm, levers=trial.levers, score=score)
            for trial in self.plan.trials
            if (score := self.scores.get(trial.trial_id)) is not None
        )
        return tuple(sorted(done, key=lambda point: -sign * point.score))

    @override
    def name_of(self, trial: Trial) -> str:
        """The point with what it changes."""
        baseline = self.plan.trials[0].levers
        changed = [f"{lever}={short(value)}" for lever, value in trial.levers.items() if value != baseline[lever]]
        return f"{trial.arm} ({', '.join(changed)})" if changed else trial.arm

    @property
    @override
    def _epochs_a_trial(self) -> float:
        """As far as points have ended: of many that are pruned it is few."""
        whole = float(self.plan.config.training.epochs)
        return statistics.fmean([*self.epochs_pruned.values(), *[whole] * len(self.scores)] or [whole])

    @override
    def _epochs_left(self, trial: Trial) -> float:
        return self._epochs_a_trial if trial.arm == TO_COME else super()._epochs_left(trial)

    @property
    def _to_come(self) -> tuple[Trial, ...]:
        stand_in = replace(self.plan.trials[0], arm=TO_COME, fingerprints={})  # no trial has its trial_id
        return (stand_in,) * (self.n_trials - len(self.plan.trials))


def short(value: Scalar) -> str:
    """A lever's value in few digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
