"""A hard budget: a trial is admitted only if it and all that are under way can be paid to their end."""

import contextlib
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dermtune.ledger import Attempt, LedgerError, SweepFolder
from dermtune.plan import Trial

ROUNDING = 1e-9
"""Hours by which a sum of floats may be off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What trials have cost."""

    hours: float = 0.0
    """GPU hours, or a trial's hours where it has no GPU."""
    usd: float | None = None
    """None where no price is known."""


def _sum(costs: Iterable[Cost]) -> Cost:
    """All of them, in the dollars of those that have a price."""
    each = tuple(costs)
    prices = [cost.usd for cost in each if cost.usd is not None]
    return Cost(hours=sum((cost.hours for cost in each), 0.0), usd=sum(prices) if prices else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a sweep may cost in all, and what an hour costs now."""

    hours: float = math.inf
    usd: float = math.inf
    usd_per_hour: float | None = None

    def hours_left(self, spent: Cost) -> float:
        """The tighter of both limits, in hours at today's price."""
        by_usd = math.inf if self.usd_per_hour is None else (self.usd - (spent.usd or 0.0)) / self.usd_per_hour
        return min(self.hours - spent.hours, by_usd)

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return not math.isinf(min(self.hours, self.usd))


class Books:
    """What each trial has cost, all attempts of all starts, each at the price at which it was made.

    An attempt without a price counts at today's.
    """

    def __init__(self, folder: SweepFolder, trials: Iterable[Trial], usd_per_hour: float | None = None) -> None:
        """Books of these trials, read once. Raises LedgerError where a trial's attempts cannot be read."""
        self._folder = folder
        self._usd_per_hour = usd_per_hour
        self._attempts: dict[str, Sequence[Attempt]] = {}
        self._costs: dict[str, Cost] = {}
        for trial in trials:
            self.read(trial.trial_id)

    def share_left(self, trial: Trial) -> float:
        """The share of the trial that is still to train, an epoch at least; 1 where no epoch of it is kept."""
        epochs = trial.config.training.epochs
        return max(1, epochs - self._folder.trial(trial.trial_id).epochs_kept()) / epochs

    def read(self, trial_id: str) -> Cost:
        """What the trial has cost, by its folder as it is now."""
        attempts = self._attempts[trial_id] = self._folder.trial(trial_id).attempts()
        self._costs[trial_id] = _sum(self._cost(attempt, attempt.hours) for attempt in attempts)
        return self._costs[trial_id]

    def cost(self, trial_id: str) -> Cost:
        """What the trial had cost when it was last read."""
        return self._costs[trial_id]

    def total(self) -> Cost:
        """What all trials had cost when each was last read."""
        return _sum(tuple(self._costs.values()))

    def lost(self) -> Cost:
        """Of the total, what left nothing behind: trials without a result, and what a kill threw away of others."""
        return _sum(self._lost(attempts) for attempts in tuple(self._attempts.values()))

    def _lost(self, attempts: Sequence[Attempt]) -> Cost:
        failed = bool(attempts) and attempts[-1].ended in ("failed", "diverged")
        return _sum(self._cost(a, a.hours if failed else a.lost_hours) for a in attempts)

    def _cost(self, attempt: Attempt, hours: float) -> Cost:
        price = self._usd_per_hour if attempt.usd_per_hour is None else attempt.usd_per_hour
        return Cost(hours=hours, usd=None if price is None else hours * price)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialHours:
    """What one whole trial takes; where trials differ, one of weight 1."""

    expected: float | None = None
    """As long as none is measured; None where nobody knows."""
    measured: tuple[float, ...] = ()
    """Of trials that are done, all their attempts."""

    @property
    def mean(self) -> float | None:
        """The best guess; None where there is none."""
        return statistics.fmean(self.measured) if self.measured else self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class _UnderWay:
    """A trial that is admitted and has not ended."""

    share: float
    """Of it that was still to train when it was admitted, times its weight."""
    hours_before: float
    """What it had cost then."""


class Budget:
    """What may be spent, what is spent, and which trials are under way. By default there is no limit."""

    def __init__(
        self,
        books: Books,
        limits: Limits = Limits(),
        trial_hours: TrialHours = TrialHours(),
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """A budget that goes on from what the books hold; without trial hours, trials are admitted on trust.

        `weights`, by trial_id, are what trials take beside one that takes the trial hours; 1 of any other.
        """
        self.limits = limits
        self.trial_hours = trial_hours
        self.books = books
        self._weights = weights or {}
        self._under_way: dict[str, _UnderWay] = {}

    def admit(self, trial: Trial) -> bool:
        """Whether one more trial fits in; if so it is under way until it is settled."""
        share = self._share_left(trial)
        fits = self.has_room(share)
        if fits:
            before = self.books.read(trial.trial_id).hours
            self._under_way[trial.trial_id] = _UnderWay(share=share, hours_before=before)
        return fits

    def has_room(self, share: float = 1.0) -> bool:
        """Whether so much of a trial fits in beside those under way."""
        left, typical = self.hours_left(), self.trial_hours.mean or 0.0
        return left > 0 and left - self._reserved(typical) >= share * typical - ROUNDING

    def is_under_way(self, trial_id: str) -> bool:
        """Whether the trial was admitted and has not been settled."""
        return trial_id in self._under_way

    def settle(self, trial_id: str, *, done: bool) -> None:
        """A trial that was under way has ended; what one takes is learnt from those that are done."""
        if self._under_way.pop(trial_id, None):
            hours = self.books.read(trial_id).hours / self._weights.get(trial_id, 1.0)
            if done:
                self.trial_hours = replace(self.trial_hours, measured=(*self.trial_hours.measured, hours))

    def spent(self) -> Cost:
        """All that the sweep's trials have cost, those under way up to now."""
        for trial_id in tuple(self._under_way):
            with contextlib.suppress(OSError, LedgerError):  # what it had cost a moment ago stands
                self.books.read(trial_id)
        return self.books.total()

    def hours_left(self) -> float:
        """What may still be spent, in hours at today's price; infinite without a limit."""
        return self.limits.hours_left(self.spent())

    def room(self) -> float:
        """How many whole trials fit in beside those under way; infinite without a limit, or where none is known."""
        mean = self.trial_hours.mean
        left = self.hours_left()
        return max(0.0, (left - self._reserved(mean) + ROUNDING) / mean) if mean else math.inf

    def hours_needed(self, trials: Iterable[Trial]) -> float | None:
        """What these trials take from where each of them is; None where nobody knows."""
        mean = self.trial_hours.mean
        return None if mean is None else mean * sum(map(self._share_left, trials))

    def hours_of(self, trial: Trial) -> float | None:
        """What the whole trial takes; None where nobody knows."""
        mean = self.trial_hours.mean
        return None if mean is None else mean * self._weights.get(trial.trial_id, 1.0)

    def _share_left(self, trial: Trial) -> float:
        """What is still to train of the trial, in trials that take the trial hours."""
        return self.books.share_left(trial) * self._weights.get(trial.trial_id, 1.0)

    def _reserved(self, typical: float) -> float:
        """What the trials under way are expected to take yet."""
        return sum(
            max(0.0, under_way.share * typical - (self.books.cost(trial_id).hours - under_way.hours_before))
            for trial_id, under_way in tuple(self._under_way.items())
        )
