"""Which true effects a design finds: at each of its looks, of a grid's levers, and of what guards it."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analysis.looks import ALPHA, Look, look_at
from analysis.planning import (
    ASSUMED,
    Aim,
    Layout,
    SeedsNeeded,
    Target,
    Variation,
    interaction,
    main_effect,
    power_at,
    seeds_for,
    smallest_detectable,
)
from dermtune.config import Scalar
from dermtune.plan import Plan

FORMALITY = 0.05
"""A look that finds what the last one finds in four sweeps of five with a smaller chance than this is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a sweep before it runs."""

    variation: Variation = ASSUMED
    """Of the primary metric."""
    of_guards: Mapping[str, Variation] = field(default_factory=dict)
    """Of a guard metric, where it is measured."""
    test_images: Mapping[str, int] = field(default_factory=dict)
    """By class."""


UNKNOWN = Known()
"""Nothing is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookSight:
    """What a look at so many seeds finds, all arms judged at once."""

    n_seeds: int
    alpha: float
    """Its two-sided level."""
    delta: float
    """The smallest true delta that it finds in four sweeps of five, a fraction; infinite with one seed."""
    chance: float | None
    """That it finds a true delta as large as the margin; None where that is nought."""
    reached: bool
    """Whether there are as many seeds."""
    formality: bool
    """It has next to no chance of finding what the last look finds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What is seen of an effect of the grid, which is judged by itself."""

    size: float
    """The smallest that is found in four sweeps of five, a fraction."""
    needed: SeedsNeeded | None
    """What it takes to find one as large as the margin; None where that is nought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """True effects, as fractions, that a design finds in four sweeps of five; infinite with one seed."""

    variation: Variation
    looks: tuple[LookSight, ...]
    """By number of seeds; one where none are declared."""
    needed: SeedsNeeded | None
    """What it takes to find a true delta of the margin, at the last look's level; None where that is nought."""
    main_effects: Mapping[str, Effect]
    """By lever; empty where the grid has one lever."""
    interactions: Mapping[str, Effect]
    """By pair of levers."""
    guards: Mapping[str, float]
    """By guard metric, the chance that an arm which costs nothing is shown to."""

    @property
    def judged(self) -> LookSight:
        """The last look that is reached; the first where none is."""
        return [*self.looks[:1], *(look for look in self.looks if look.reached)][-1]

    @property
    def delta(self) -> float:
        """The smallest true delta of any arm that these seeds find, all judged at once."""
        return self.judged.delta


def sight(plan: Plan, known: Known) -> Sight:
    """What the plan's arms and seeds can see."""
    sweep = plan.sweep
    layout = Layout(n_arms=len(plan.arms), variation=known.variation)
    together, margin = len(plan.arms) - 1, sweep.margin
    looks = _looks(plan, layout)
    judged = [look for look in looks if look.reached] or [*looks[:1]]
    n_seeds, level, last = judged[-1].n_seeds, 1 - judged[-1].alpha, 1 - looks[-1].alpha

    def seen(targets: Mapping[str, Target]) -> dict[str, Effect]:
        return {
            name: Effect(
                size=smallest_detectable(layout, n_seeds, Aim(target=target, level=level)),
                needed=seeds_for(margin, layout, Aim(target=target, level=last)) if margin else None,
            )
            for name, target in targets.items()
        }

    return Sight(
        variation=known.variation,
        looks=looks,
        needed=seeds_for(margin, layout, Aim(n_comparisons=together, level=last)) if margin else None,
        main_effects=seen(_main_effects(sweep.grid)),
        interactions=seen(_interactions(sweep.grid)),
        guards=_guards(plan, known, n_seeds, level),
    )


def _looks(plan: Plan, layout: Layout) -> tuple[LookSight, ...]:
    """Each declared look, or the one at all seeds."""
    declared = tuple(plan.sweep.looks)
    at = declared or (len(plan.seeds),)
    aims = {n: Aim(n_comparisons=len(plan.arms) - 1, level=1 - _alpha(n, declared)) for n in at}
    last = smallest_detectable(layout, at[-1], aims[at[-1]])
    margin = plan.sweep.margin
    return tuple(
        LookSight(
            n_seeds=n,
            alpha=1 - aim.level,
            delta=smallest_detectable(layout, n, aim),
            chance=power_at(margin, layout, n, aim) if margin else None,
            reached=n <= len(plan.seeds),
            formality=n < at[-1] and power_at(last, layout, n, aim) < FORMALITY,
        )
        for n, aim in aims.items()
    )


def _alpha(n_seeds: int, declared: Sequence[int]) -> float:
    look: Look | None = look_at(n_seeds, declared=declared, taken=())
    return ALPHA if look is None else look.alpha


def _guards(plan: Plan, known: Known, n_seeds: int, level: float) -> dict[str, float]:
    """An arm that costs nothing is cleared where its interval, its own, excludes a loss of the margin.

    That is as likely as finding a true delta of the margin.
    """
    margin, primary = plan.sweep.margin, plan.sweep.primary_metric
    guards = [name for name in plan.sweep.guard_metrics if name != primary]
    if not margin:
        return {}
    layouts = {name: Layout(n_arms=len(plan.arms), variation=known.of_guards.get(name, ASSUMED)) for name in guards}
    return {name: power_at(margin, layout, n_seeds, Aim(level=level)) for name, layout in layouts.items()}


def _main_effects(grid: Mapping[str, Sequence[Scalar]]) -> dict[str, Target]:
    """By lever; none where a single lever varies, whose levels are the arms."""
    levels = {lever: len(values) for lever, values in grid.items() if len(values) > 1}
    if len(levels) < 2:
        return {}
    return {lever: main_effect([*levels.values()], place) for place, lever in enumerate(levels)}


def _interactions(grid: Mapping[str, Sequence[Scalar]]) -> dict[str, Target]:
    """By pair of levers."""
    levers, levels = [*grid], [len(values) for values in grid.values()]
    return {
        f"{levers[one]} × {levers[other]}": interaction(levels, one, other)
        for one, other in itertools.combinations(range(len(levers)), 2)
        if levels[one] > 1 and levels[other] > 1
    }


def sees_nothing(sight: Sight) -> bool:
    """Whether no effect whatever is found, because there is one seed."""
    return math.isinf(sight.delta)
