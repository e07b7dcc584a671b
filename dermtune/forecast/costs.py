"""What a design takes: each arm, each look, and the stage before."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dermtune.budget import Budget
from dermtune.config import Scalar
from dermtune.plan import Plan, Screen, Search


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What trials cost; None where it is not known."""

    hours: float | None
    """GPU hours, or trial hours where a trial has no GPU."""
    usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCost:
    """One arm's trials."""

    name: str
    changes: Mapping[str, Scalar]
    """Levers in which it differs from the baseline."""
    n_done: int
    n_to_run: int
    left: Bill
    """Of those that are to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStage:
    """The stage that finds the plan's arms."""

    stage: Search | Screen
    n_trials: int
    """Of the whole stage."""
    n_ended: int
    seconds: float | None
    """That a trial of it takes which goes to its last epoch."""
    epochs: int
    """Of such a trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstCost:
    """What a first stage takes."""

    first: FirstStage
    at_most: Bill
    """Where every trial goes to its last epoch."""
    expected: Bill | None
    """Where a search prunes at every rung all but one in `reduction`; None where nothing is pruned."""

    @property
    def n_to_run(self) -> int:
        """Trials that have not ended."""
        return self.first.n_trials - self.first.n_ended


def arm_costs(
    plan: Plan, done: Mapping[str, Mapping[str, Any]], budget: Budget, spared: Collection[str] = ()
) -> tuple[ArmCost, ...]:
    """Each arm's trials, in the plan's order; `done` are manifests by trial_id, `spared` ids that none asks for."""
    baseline, ended, of_arm = plan.arms[0], {*done, *spared}, plan.by_arm()
    return tuple(
        ArmCost(
            name=arm.name,
            changes={lever: value for lever, value in arm.levers.items() if value != baseline.levers[lever]},
            n_done=sum(trial.trial_id in done for trial in trials),
            n_to_run=sum(trial.trial_id not in ended for trial in trials),
            left=billed(budget.hours_needed([trial for trial in trials if trial.trial_id not in ended]), budget),
        )
        for arm in plan.arms
        for trials in [of_arm[arm.name]]
    )


def whole_cost(plan: Plan, n_seeds: int, budget: Budget) -> Bill:
    """So many seeds of every arm, from the first trial on, at what trials take now."""
    of_arm = plan.by_arm()
    each = [budget.hours_of(of_arm[arm.name][0]) for arm in plan.arms]
    hours = [of_one for of_one in each if of_one is not None]
    return billed(n_seeds * sum(hours) if len(hours) == len(each) else None, budget)


def first_cost(first: FirstStage, budget: Budget, gpus: float) -> FirstCost:
    """What is left of a first stage, whose trials have so many GPUs each."""
    left = first.n_trials - first.n_ended
    hours = None if first.seconds is None else left * first.seconds / 3600 * (gpus or 1)
    share = halved(first.stage, first.epochs) if isinstance(first.stage, Search) else None
    expected = None if share is None or hours is None else billed(hours * share, budget)
    return FirstCost(first=first, at_most=billed(hours, budget), expected=expected)


def halved(search: Search, epochs: int) -> float:
    """The share of all epochs that successive halving trains.

    Every point trains the first rung, one in `reduction` goes on to the next, which is `reduction` times as far,
    and so on to the last epoch (Jamieson and Talwalkar 2016). The asynchronous form (Li et al. 2020) sends a few
    more on, while there are too few to compare with.
    """
    trained, rung, share = 0.0, min(search.grace_epochs, epochs), 1.0
    before = 0
    while before < epochs:
        trained += share * (rung - before)
        before, rung, share = rung, min(rung * search.reduction, epochs), share / search.reduction
    return trained / epochs


def billed(hours: float | None, budget: Budget) -> Bill:
    """So many hours at today's price."""
    price = budget.limits.usd_per_hour
    return Bill(hours=hours, usd=None if hours is None or price is None else hours * price)


def total(bills: Sequence[Bill]) -> Bill:
    """All of them; unknown where one of them is."""

    def added(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None

    return Bill(hours=added([bill.hours for bill in bills]), usd=added([bill.usd for bill in bills]))
