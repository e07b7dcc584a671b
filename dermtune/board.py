"""Where a sweep stands: the figures behind the live view."""

import heapq
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from typing_extensions import override

from dermtune.budget import Budget
from dermtune.monitors import Monitor
from dermtune.plan import Plan, Trial

State = Literal["waiting", "running", "done", "failed", "pruned", "spared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSoFar:
    """One arm's interim figures."""

    arm: str
    states: tuple[State, ...]
    """Of each seed, in the plan's order."""
    mean: float | None
    """Of the primary metric over the seeds that are done; None before the first."""
    stopped: str = ""
    """`decided at look 1`, where a look has stopped it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A trial that trains now."""

    trial: Trial
    epochs_done: int
    loss: float | None
    """Training loss of the last epoch; None before one has ended."""
    heard: float
    """When it was last heard of, by the board's clock."""

    @property
    def epochs(self) -> int:
        """Epochs of the whole trial."""
        return self.trial.config.training.epochs


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What went wrong."""

    text: str
    """A sentence; of a trial it begins with its title."""
    failed: bool = False
    """A trial has no result for it; else it was got over."""


class Board(Monitor):
    """Counts a sweep's trials and epochs, and foresees its end from what an epoch has taken so far."""

    noun = "trial"
    """What is counted."""
    scored_on = ""
    """Behind a score, where it is not on test."""

    def __init__(
        self,
        plan: Plan,
        scores: Mapping[str, float | None],
        *,
        budget: Budget | None = None,
        epochs_kept: Mapping[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A board of the plan's trials; `scores` are the primary metric of those that are done, by trial_id.

        A metric that no trial scores by itself, such as a class's recall, is None and has no interim mean.
        `epochs_kept` are those that trials which were cut off need not train again.
        """
        self.plan = plan
        self.scores = dict(scores)
        self.budget = budget
        self.reasons: dict[str, str] = {}
        """Why a trial failed, by trial_id."""
        self.epochs_pruned: dict[str, int] = {}
        """Epochs of each trial that was stopped early, by trial_id."""
        self.news: list[News] = []
        """Oldest first."""
        self._spared: frozenset[str] = frozenset()
        self._stopped: Mapping[str, str] = {}
        self._running: dict[str, Running] = {}
        self._epochs_kept = dict(epochs_kept or {})
        self._most_running = 0
        self._clock = clock
        self._started: float | None = None
        self._epochs_trained = 0
        self._seconds_trained = 0.0

    @override
    def started(self, trial: Trial) -> None:
        now = self._clock()
        self._started = now if self._started is None else self._started
        kept = self._epochs_kept.get(trial.trial_id, 0)
        self._running[trial.trial_id] = Running(trial=trial, epochs_done=kept, loss=None, heard=now)
        self._most_running = max(self._most_running, len(self._running))

    @override
    def epoch(self, trial: Trial, row: Mapping[str, float]) -> None:
        self._epochs_trained += 1
        done = self._epochs_kept[trial.trial_id] = round(row["epoch"])
        self._running[trial.trial_id] = Running(
            trial=trial, epochs_done=done, loss=row.get("train_loss"), heard=self._heard(trial)
        )

    @override
    def noticed(self, trial: Trial, what: str) -> None:
        self.warned(f"{trial.title} {what}")

    def warned(self, what: str) -> None:
        """Something went wrong that the sweep gets over; a sentence."""
        self.news.append(News(text=what))

    @override
    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:
        self._heard(trial)
        self._running.pop(trial.trial_id, None)
        self.scores[trial.trial_id] = scores.get(self.plan.sweep.primary_metric)

    @override
    def pruned(self, trial: Trial, row: Mapping[str, float]) -> None:
        self._heard(trial)
        self._running.pop(trial.trial_id, None)
        self.epochs_pruned[trial.trial_id] = round(row["epoch"])

    @override
    def failed(self, trial: Trial, reason: str) -> None:
        self._running.pop(trial.trial_id, None)
        self.reasons[trial.trial_id] = reason
        self.news.append(News(text=f"{trial.title} failed: {reason}", failed=True))

    def spare(self, trial_ids: Collection[str], stopped: Mapping[str, str]) -> None:
        """These trials are not asked for any more; by arm, where a look stopped it."""
        self._spared, self._stopped = frozenset(trial_ids), stopped

    @property
    def asked(self) -> tuple[Trial, ...]:
        """The plan's trials, but for those that a look has spared."""
        return tuple(trial for trial in self.plan.trials if trial.trial_id not in self._spared)

    @property
    def n_trials(self) -> int:
        """All trials that are asked for."""
        return len(self.asked)

    @property
    def n_ended(self) -> int:
        """Trials that are done or have failed, or were stopped early."""
        return len(self.scores) + len(self.reasons) + len(self.epochs_pruned)

    @property
    def missing(self) -> tuple[Trial, ...]:
        """Trials without a result, in the plan's order."""
        return tuple(trial for trial in self.asked if trial.trial_id not in self.scores)

    @property
    def waiting(self) -> tuple[Trial, ...]:
        """Trials that have not started, in the plan's order."""
        return tuple(trial for trial in self.plan.trials if self._state(trial.trial_id) == "waiting")

    @property
    def n_affordable(self) -> int:
        """Of those that wait, the trials that the budget has room for, as far as is known."""
        n_waiting = len(self.waiting)
        return n_waiting if self.budget is None else int(min(n_waiting, self.budget.room()))

    @property
    def running(self) -> tuple[Running, ...]:
        """Trials that train now, in the order of their start."""
        return tuple(self._running.values())

    @property
    def share_ended(self) -> float:
        """Of all epochs, those of trials that have ended and those that running ones have behind them."""
        running = sum(running.epochs_done for running in self.running)
        ended = sum(_epochs(trial) for trial in self.asked if self._state(trial.trial_id) in ("done", "failed"))
        return (ended + running) / max(1, sum(map(_epochs, self.asked)))

    @property
    def elapsed(self) -> float:
        """Seconds since the first trial started; 0 before."""
        return 0.0 if self._started is None else self._clock() - self._started

    @property
    def trials_per_minute(self) -> float | None:
        """The pace, all workers together; None before the first epoch."""
        elapsed = self.elapsed
        if not self._epochs_trained or elapsed <= 0:
            return None
        return self._epochs_trained / self._epochs_a_trial * 60 / elapsed

    @property
    def seconds_left(self) -> float | None:
        """Until the last trial ends that the budget has room for; None before the first epoch.

        What is waiting goes, in its order, to the worker that is free first, so that a last trial which runs alone
        takes what it takes. An epoch counts what it has taken so far, with its share of a trial's start and end.
        """
        if not self._epochs_trained:
            return None
        an_epoch, now = self._seconds_trained / self._epochs_trained, self._clock()
        free_in = [max(0.0, (r.epochs - r.epochs_done) * an_epoch - (now - r.heard)) for r in self.running]
        free_in += [0.0] * (self._most_running - len(free_in))
        heapq.heapify(free_in)
        for trial in self.waiting[: self.n_affordable] if free_in else ():
            heapq.heapreplace(free_in, free_in[0] + self._epochs_left(trial) * an_epoch)
        return max(free_in, default=0.0)

    def name_of(self, trial: Trial) -> str:
        """The trial in a line of a log."""
        return trial.title

    def arms(self) -> tuple[ArmSoFar, ...]:
        """Every arm's interim figures, in the plan's order."""
        of_arm = self.plan.by_arm()
        return tuple(self._arm(arm.name, of_arm[arm.name]) for arm in self.plan.arms)

    @property
    def _epochs_a_trial(self) -> float:
        return sum(map(_epochs, self.plan.trials)) / len(self.plan.trials)

    def _epochs_left(self, trial: Trial) -> float:
        """What one that waits has to train."""
        return _epochs(trial) - self._epochs_kept.get(trial.trial_id, 0)

    def _heard(self, trial: Trial) -> float:
        """Now; since the trial was last heard of it has trained."""
        now, running = self._clock(), self._running.get(trial.trial_id)
        self._seconds_trained += now - running.heard if running else 0.0
        return now

    def _arm(self, name: str, trials: Sequence[Trial]) -> ArmSoFar:
        ids = [trial.trial_id for trial in trials]
        scores = [score for trial_id in ids if (score := self.scores.get(trial_id)) is not None]
        mean = sum(scores) / len(scores) if scores else None
        states = tuple(map(self._state, ids))
        return ArmSoFar(arm=name, states=states, mean=mean, stopped=self._stopped.get(name, ""))

    def _state(self, trial_id: str) -> State:
        if trial_id in self.scores:
            return "done"
        if trial_id in self.reasons:
            return "failed"
        if trial_id in self.epochs_pruned:
            return "pruned"
        if trial_id in self._spared:
            return "spared"
        return "running" if trial_id in self._running else "waiting"


def _epochs(trial: Trial) -> int:
    return trial.config.training.epochs
