"""Where a sweep stands: the figures behind the live view."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from typing_extensions import override

from dermtune.monitors import Monitor
from dermtune.plan import Plan, Trial

State = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSoFar:
    """One arm's interim figures."""

    arm: str
    states: tuple[State, ...]
    """Of each seed, in the plan's order."""
    mean: float | None
    """Of the primary metric over the seeds that are done; None before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A trial that trains now."""

    trial: Trial
    epochs_done: int
    loss: float | None
    """Training loss of the last epoch."""

    @property
    def epochs(self) -> int:
        """Epochs of the whole trial."""
        return self.trial.config.training.epochs


class Board(Monitor):
    """Counts a sweep's trials, and judges the pace by the epochs trained since the first trial started."""

    def __init__(
        self, plan: Plan, scores: Mapping[str, float | None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """A board of the plan's trials; `scores` are the primary metric of those that are done, by trial_id.

        A metric that no trial scores by itself, such as a class's recall, is None and has no interim mean.
        """
        self.plan = plan
        self.scores = dict(scores)
        self.reasons: dict[str, str] = {}
        """Why a trial failed, by trial_id."""
        self.notices: list[str] = []
        """What went wrong and was got over, oldest first, each a sentence that begins with the trial's title."""
        self._running: dict[str, Running] = {}
        self._clock = clock
        self._started: float | None = None
        self._epochs_trained = 0

    @override
    def started(self, trial: Trial) -> None:
        self._started = self._clock() if self._started is None else self._started
        self._running[trial.trial_id] = Running(trial=trial, epochs_done=0, loss=None)

    @override
    def epoch(self, trial: Trial, row: Mapping[str, float]) -> None:
        self._epochs_trained += 1
        self._running[trial.trial_id] = Running(
            trial=trial, epochs_done=round(row["epoch"]), loss=row.get("train_loss")
        )

    @override
    def noticed(self, trial: Trial, what: str) -> None:
        self.notices.append(f"{trial.title} {what}")

    @override
    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:
        self._running.pop(trial.trial_id, None)
        self.scores[trial.trial_id] = scores.get(self.plan.sweep.primary_metric)

    @override
    def failed(self, trial: Trial, reason: str) -> None:
        self._running.pop(trial.trial_id, None)
        self.reasons[trial.trial_id] = reason

    @property
    def n_trials(self) -> int:
        """All trials of the plan."""
        return len(self.plan.trials)

    @property
    def n_ended(self) -> int:
        """Trials that are done or have failed."""
        return len(self.scores) + len(self.reasons)

    @property
    def running(self) -> tuple[Running, ...]:
        """Trials that train now, in the order of their start."""
        return tuple(self._running.values())

    @property
    def elapsed(self) -> float:
        """Seconds since the first trial started; 0 before."""
        return 0.0 if self._started is None else self._clock() - self._started

    @property
    def trials_per_minute(self) -> float | None:
        """The pace, all workers together; None before the first epoch."""
        if not self._epochs_trained or self.elapsed <= 0:
            return None
        return self._epochs_trained / self._epochs_a_trial * 60 / self.elapsed

    @property
    def seconds_left(self) -> float | None:
        """What is left at this pace; None before there is one."""
        pace = self.trials_per_minute
        if pace is None:
            return None
        begun = sum(running.epochs_done for running in self.running) / self._epochs_a_trial
        return max(0.0, self.n_trials - self.n_ended - begun) * 60 / pace

    def arms(self) -> tuple[ArmSoFar, ...]:
        """Every arm's interim figures, in the plan's order."""
        return tuple(self._arm(arm.name) for arm in self.plan.arms)

    @property
    def _epochs_a_trial(self) -> float:
        trials = self.plan.trials
        return sum(trial.config.training.epochs for trial in trials) / len(trials)

    def _arm(self, name: str) -> ArmSoFar:
        ids = [trial.trial_id for trial in self.plan.trials if trial.arm == name]
        scores = [score for trial_id in ids if (score := self.scores.get(trial_id)) is not None]
        mean = sum(scores) / len(scores) if scores else None
        return ArmSoFar(arm=name, states=tuple(map(self._state, ids)), mean=mean)

    def _state(self, trial_id: str) -> State:
        if trial_id in self.scores:
            return "done"
        if trial_id in self.reasons:
            return "failed"
        return "running" if trial_id in self._running else "waiting"
