"""What a sweep would take and what it could see, before anything is started."""

import itertools
import math
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.planning import (
    ASSUMED,
    Aim,
    Layout,
    SeedsNeeded,
    Target,
    Variation,
    interaction,
    main_effect,
    seeds_for,
    smallest_detectable,
)
from analysis.words import correlation, count, hours, listed, metric_title, unit_of, usd
from dermtune.bill import outlook
from dermtune.budget import Budget
from dermtune.config import Scalar
from dermtune.plan import Plan, Trial
from dermtune.progress import duration
from dermtune.recipes import Recipe
from dermtune.spared import foretold


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialTime:
    """How long one trial trains."""

    seconds: float | None
    """None where nobody has measured any."""
    origin: str
    """Where that figure comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """True effects, as fractions, that a design finds in four sweeps of five; infinite with one seed."""

    variation: Variation
    delta: float
    """Of any arm, all judged at once."""
    needed: SeedsNeeded | None
    """What it takes to find a true delta as large as the margin; None where that is nought."""
    main_effects: Mapping[str, float]
    """By lever, each judged by itself; empty where the grid has one lever."""
    interactions: Mapping[str, float]
    """The same by pair of levers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The size, price and sight of a design."""

    plan: Plan
    missing: tuple[Trial, ...]
    """Trials that would run."""
    time: TrialTime
    budget: Budget
    hours_left: float | None
    """What the missing trials cost, in GPU hours, or in trial hours where a trial has no GPU; None if unknown."""
    usd_left: float | None
    sight: Sight | None
    """None of a lone arm, which is compared with nothing."""

    n_spared: int = 0
    """Trials that no look asks for any more."""

    @property
    def n_done(self) -> int:
        """How many trials are there."""
        return len(self.plan.trials) - self.n_missing - self.n_spared

    @property
    def n_missing(self) -> int:
        """How many trials would run."""
        return len(self.missing)


def forecast(
    plan: Plan,
    recipe: Recipe,
    done: Mapping[str, Mapping[str, Any]],
    budget: Budget,
    *,
    variation: Variation = ASSUMED,
    spared: Collection[str] = (),
) -> Forecast:
    """The forecast of a plan of which `done` (manifests by trial_id) is there already; starts nothing.

    `spared` are ids of trials that no look asks for any more.
    """
    missing = tuple(trial for trial in plan.trials if trial.trial_id not in done and trial.trial_id not in spared)
    needed, price = budget.hours_needed(missing), budget.limits.usd_per_hour
    return Forecast(
        plan=plan,
        missing=missing,
        time=trial_time(recipe, done),
        budget=budget,
        hours_left=needed,
        usd_left=None if needed is None or price is None else needed * price,
        sight=_sight(plan, variation) if len(plan.arms) > 1 else None,
        n_spared=len(spared),
    )


def trial_time(recipe: Recipe, done: Mapping[str, Mapping[str, Any]]) -> TrialTime:
    """Measured on the done trials (manifests by trial_id) where there are any, else the recipe's figure."""
    measured = [float(manifest["seconds"]) for manifest in done.values() if manifest.get("seconds")]
    if measured:
        origin = f"measured on {count(len(measured), 'done trial')}"
        return TrialTime(seconds=statistics.fmean(measured), origin=origin)
    return TrialTime(seconds=recipe.seconds_per_trial, origin=f"the figure of recipe {recipe.name}")


def _sight(plan: Plan, variation: Variation) -> Sight:
    layout, margin = Layout(n_arms=len(plan.arms), variation=variation), plan.sweep.margin
    together = Aim(n_comparisons=len(plan.arms) - 1)

    def seen(targets: Mapping[str, Target]) -> dict[str, float]:
        return {
            name: smallest_detectable(layout, len(plan.seeds), Aim(target=target))
            for name, target in targets.items()
        }

    return Sight(
        variation=variation,
        delta=smallest_detectable(layout, len(plan.seeds), together),
        needed=seeds_for(margin, layout, together) if margin else None,
        main_effects=seen(_main_effects(plan.sweep.grid)),
        interactions=seen(_interactions(plan.sweep.grid)),
    )


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


def print_forecast(forecast: Forecast, console: Console) -> None:
    """Print what was asked, what is there, what it takes and what it can see."""
    plan, sweep = forecast.plan, forecast.plan.sweep
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    grid.add_row("arms", f"{len(plan.arms)}: {', '.join(arm.name for arm in plan.arms)}")
    grid.add_row("seeds", f"{len(plan.seeds)}: {', '.join(map(str, plan.seeds))}")
    if sweep.looks:
        grid.add_row("looks", _looks(sweep.looks, len(plan.seeds)))
    if sweep.repeats == "adaptive" and forecast.sight:
        grid.add_row("repeats", foretold(plan, forecast.sight.variation))
    spared = f", {forecast.n_spared} spared by looks" if forecast.n_spared else ""
    most = " at most" if sweep.repeats == "adaptive" else ""
    done = f"{forecast.n_done} done, {forecast.n_missing} to run{most}{spared}"
    grid.add_row("trials", f"{len(plan.trials)}: {done}")
    grid.add_row("metric", f"{metric_title(sweep.primary_metric)}, margin {_size(plan, sweep.margin)}")
    grid.add_row("time", _time(forecast))
    if forecast.usd_left is not None:
        grid.add_row("cost", f"{usd(forecast.usd_left)} for {hours(forecast.hours_left or 0.0)}")
    if forecast.budget.limits.any or forecast.budget.spent().hours:
        title = "budget" if forecast.budget.limits.any else "spent"
        grid.add_row(title, outlook(forecast.budget, plan, forecast.missing))
    for title, text in _sights(forecast):
        grid.add_row(title, text)
    console.print(grid, highlight=False)


def _looks(looks: Sequence[int], n_seeds: int) -> str:
    """When results are looked at, and which of those looks these seeds reach."""
    reached = sum(look <= n_seeds for look in looks)
    declared = f"{listed([*map(str, looks)], at_most=len(looks))} seeds an arm"
    if not reached:
        return f"{declared}; these {n_seeds} reach none: nothing is judged before {looks[0]}"
    beyond = n_seeds - looks[reached - 1]
    which = f"look {reached} of {len(looks)}"
    waiting = (
        "" if not beyond else f", {count(beyond, 'seed')} beyond it {'is' if beyond == 1 else 'are'} not judged"
    )
    return f"{declared}; these {n_seeds} reach {which}{waiting}"


def _time(forecast: Forecast) -> Text:
    seconds, origin = forecast.time.seconds, forecast.time.origin
    if seconds is None:
        return Text("unknown until a first trial is done")
    if not forecast.n_missing:
        return Text(f"none: nothing is to run ({origin})")
    each = f"{count(forecast.n_missing, 'trial')} of {duration(seconds)}"
    total = duration(forecast.n_missing * seconds)
    return Text(f"{total} in all, {each} ({origin}), side by side where there is room")


def _sights(forecast: Forecast) -> Iterator[tuple[str, Text]]:
    """Titles and texts: the delta that an arm must have, then the grid's effects."""
    plan, sight = forecast.plan, forecast.sight
    if sight is None:
        return
    yield "can see", _delta_seen(plan, sight)
    for title, sizes in (("main effects", sight.main_effects), ("interactions", sight.interactions)):
        if sizes and not math.isinf(sight.delta):
            each = ", ".join(f"{name} from {_size(plan, size)}" for name, size in sizes.items())
            yield title, Text(f"{each}, each judged by itself")


def _delta_seen(plan: Plan, sight: Sight) -> Text:
    if math.isinf(sight.delta):
        return Text(f"no delta at all: one seed does not measure noise ({_noise(plan, sight.variation)})")
    together = f", all {len(plan.arms) - 1} arms judged at once" if len(plan.arms) > 2 else ""
    seen = f"a true delta of {_size(plan, sight.delta)} in four sweeps of five{together}"
    text = Text(f"{seen} ({_noise(plan, sight.variation)})")
    if sight.needed and sight.delta > plan.sweep.margin:
        margin = _size(plan, plan.sweep.margin)
        text.append(f"; for one of the margin, {margin}, it takes {sight.needed.said}", style="yellow")
    return text


def _noise(plan: Plan, variation: Variation) -> str:
    shared = f", seed correlation {correlation(variation.seed_correlation)}" if variation.seed_correlation else ""
    images = f"sd from images {_size(plan, variation.image_sd)}, " if variation.image_sd else "images "
    return (
        f"run-to-run sd {_size(plan, variation.run_sd)}{shared}, {variation.run_sd_from}; "
        f"{images}{variation.image_sd_from}"
    )


def _size(plan: Plan, value: float) -> str:
    return unit_of(plan.sweep.primary_metric).size(value)
