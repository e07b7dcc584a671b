"""The forecast of a plan: its arms, its looks, what they take and what they see."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.planning import Variation
from dermtune.budget import Budget
from dermtune.forecast.costs import (
    ArmCost,
    Bill,
    FirstCost,
    FirstStage,
    arm_costs,
    first_cost,
    total,
    whole_cost,
)
from dermtune.forecast.pacing import Pace
from dermtune.forecast.seeing import UNKNOWN, Known, Sight, sight
from dermtune.plan import Plan, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The size, price and sight of a design."""

    plan: Plan
    missing: tuple[Trial, ...]
    """Trials that would run."""
    pace: Pace
    budget: Budget
    gpus: float
    """Of a trial."""
    arms: tuple[ArmCost, ...]
    """In the plan's order, the baseline first."""
    first: FirstCost | None
    """The stage before; None where there is none, or it has ended."""
    sight: Sight | None
    """None of a lone arm, which is compared with nothing."""
    test_images: Mapping[str, int]
    """By class."""
    variation: Variation
    """What scores are taken to vary by."""
    n_spared: int = 0
    """Trials that no look asks for any more."""

    @property
    def n_missing(self) -> int:
        """How many trials would run."""
        return len(self.missing)

    @property
    def left(self) -> Bill:
        """What is to run, the first stage at most."""
        before = [self.first.at_most] if self.first else []
        return total([*before, *(arm.left for arm in self.arms)])

    @property
    def seconds_left(self) -> float | None:
        """What the missing trials take one after the other."""
        hours = self.budget.hours_needed(self.missing)
        return None if hours is None else hours * 3600 / (self.gpus or 1)

    def in_all(self, n_seeds: int) -> Bill:
        """So many seeds of every arm from the start, and what is left of the first stage at most."""
        before = [self.first.at_most] if self.first else []
        return total([*before, whole_cost(self.plan, n_seeds, self.budget)])


def forecast(
    plan: Plan,
    done: Mapping[str, Mapping[str, Any]],
    budget: Budget,
    pace: Pace,
    *,
    gpus: float = 0.0,
    known: Known = UNKNOWN,
    first: FirstStage | None = None,
    spared: Collection[str] = (),
) -> Forecast:
    """The forecast of a plan of which `done` (manifests by trial_id) is there already; starts nothing.

    `spared` are ids of trials that no look asks for any more. Where a first stage is still to find the plan's arms,
    those of the plan stand for them.
    """
    ended = {*done, *spared}
    return Forecast(
        plan=plan,
        missing=tuple(trial for trial in plan.trials if trial.trial_id not in ended),
        pace=pace,
        budget=budget,
        gpus=gpus,
        arms=arm_costs(plan, done, budget, spared),
        first=None if first is None else first_cost(first, budget, gpus),
        sight=sight(plan, known) if len(plan.arms) > 1 else None,
        test_images=known.test_images,
        n_spared=len(spared),
        variation=known.variation,
    )
