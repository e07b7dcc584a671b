"""What a sweep would take and what it could see, before anything is started."""

import bisect
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.power import smallest_detectable_delta
from analysis.words import count, metric_title, unit_of
from dermtune.plan import Plan
from dermtune.progress import duration
from dermtune.recipes import Recipe

RUN_SD = 0.006
"""Run-to-run standard deviation to assume where nothing was measured: the story's, 0.6 points."""

SEEDS_FOR_AN_SD = 3
MOST_SEEDS = 1000
"""Beyond so many seeds an arm a design is said to be out of reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The size, price and sight of a design."""

    plan: Plan
    n_done: int
    seconds_per_trial: float | None
    """Training time of one trial; None where nobody has measured any."""
    seconds_from: str
    """Where that figure comes from."""
    hours_left: float | None
    """What the missing trials cost, in GPU hours, or in trial hours where a trial has no GPU."""
    usd_left: float | None
    run_sd: float
    run_sd_from: str
    smallest_delta: float
    """The true delta, as a fraction, found with a power of 80%; infinite with one seed."""
    seeds_for_margin: int | None
    """Seeds an arm at which a true delta as large as the margin is found; None beyond `MOST_SEEDS`."""

    @property
    def n_missing(self) -> int:
        """Trials that would run."""
        return len(self.plan.trials) - self.n_done


def forecast(
    plan: Plan, recipe: Recipe, done: Mapping[str, Mapping[str, Any]], *, gpus: float, usd_per_hour: float | None
) -> Forecast:
    """The forecast of a plan of which `done` (manifests by trial_id) is there already; starts nothing.

    Time and noise are measured on the done trials where there are enough, else the recipe's figure and `RUN_SD`.
    """
    seconds, seconds_from = _seconds_per_trial(recipe, done)
    run_sd, run_sd_from = _run_sd(plan, done)
    n_missing = len(plan.trials) - len(done)
    hours = None if seconds is None else n_missing * seconds * (gpus or 1) / 3600
    return Forecast(
        plan=plan,
        n_done=len(done),
        seconds_per_trial=seconds,
        seconds_from=seconds_from,
        hours_left=hours,
        usd_left=None if hours is None or usd_per_hour is None else hours * usd_per_hour,
        run_sd=run_sd,
        run_sd_from=run_sd_from,
        smallest_delta=_smallest_delta(plan, len(plan.seeds), run_sd),
        seeds_for_margin=_seeds_for(plan, run_sd),
    )


def print_forecast(forecast: Forecast, console: Console) -> None:
    """Print what was asked, what is there, what it takes and what it can see."""
    plan, sweep = forecast.plan, forecast.plan.sweep
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    grid.add_row("arms", f"{len(plan.arms)}: {', '.join(arm.name for arm in plan.arms)}")
    grid.add_row("seeds", f"{len(plan.seeds)}: {', '.join(map(str, plan.seeds))}")
    done = f"{forecast.n_done} done, {forecast.n_missing} to run"
    grid.add_row("trials", f"{len(plan.trials)}: {done}")
    grid.add_row("metric", f"{metric_title(sweep.primary_metric)}, margin {_size(plan, sweep.margin)}")
    grid.add_row("time", _time(forecast))
    if forecast.usd_left is not None:
        grid.add_row("cost", f"${forecast.usd_left:,.2f} for {forecast.hours_left:,.1f} hours")
    if len(plan.arms) > 1:
        grid.add_row("can see", _sight(forecast))
    console.print(grid, highlight=False)


def _time(forecast: Forecast) -> Text:
    if forecast.seconds_per_trial is None:
        return Text("unknown until a first trial is done")
    if not forecast.n_missing:
        return Text(f"none: nothing is to run ({forecast.seconds_from})")
    each = f"{count(forecast.n_missing, 'trial')} of {duration(forecast.seconds_per_trial)}"
    total = duration(forecast.n_missing * forecast.seconds_per_trial)
    return Text(f"{total} in all, {each} ({forecast.seconds_from}), side by side where there is room")


def _sight(forecast: Forecast) -> Text:
    plan = forecast.plan
    noise = f"run-to-run sd {_size(plan, forecast.run_sd)}, {forecast.run_sd_from}"
    if math.isinf(forecast.smallest_delta):
        return Text(f"no delta at all: one seed does not measure noise ({noise})")
    text = Text(f"a true delta of {_size(plan, forecast.smallest_delta)} in four sweeps of five ({noise})")
    if forecast.smallest_delta > plan.sweep.margin:
        needed = forecast.seeds_for_margin
        seeds = f"{needed} seeds an arm" if needed else f"more than {MOST_SEEDS} seeds an arm"
        text.append(f"; for one of the margin, {_size(plan, plan.sweep.margin)}, it takes {seeds}", style="yellow")
    return text


def _size(plan: Plan, value: float) -> str:
    return unit_of(plan.sweep.primary_metric).size(value)


def _seconds_per_trial(recipe: Recipe, done: Mapping[str, Mapping[str, Any]]) -> tuple[float | None, str]:
    measured = [float(manifest["seconds"]) for manifest in done.values() if manifest.get("seconds")]
    if measured:
        return statistics.fmean(measured), f"measured on {count(len(measured), 'done trial')}"
    return recipe.seconds_per_trial, f"the figure of recipe {recipe.name}"


def _run_sd(plan: Plan, done: Mapping[str, Mapping[str, Any]]) -> tuple[float, str]:
    """The standard deviation over seeds, pooled over arms with at least `SEEDS_FOR_AN_SD` done trials."""
    scores: dict[str, list[float]] = {}
    for manifest in done.values():
        score = manifest.get("scores", {}).get("test", {}).get(plan.sweep.primary_metric)
        if score is not None:
            scores.setdefault(manifest["arm"], []).append(score)
    enough = [values for values in scores.values() if len(values) >= SEEDS_FOR_AN_SD]
    if not enough:
        return RUN_SD, "assumed"
    df = sum(len(values) - 1 for values in enough)
    pooled = sum(statistics.variance(values) * (len(values) - 1) for values in enough) / df
    return math.sqrt(pooled), f"measured on {count(df + len(enough), 'done trial')}"


def _smallest_delta(plan: Plan, n_seeds: int, run_sd: float) -> float:
    return smallest_detectable_delta(n_seeds, run_sd, n_comparisons=max(1, len(plan.arms) - 1))


def _seeds_for(plan: Plan, run_sd: float) -> int | None:
    """The fewest seeds an arm that see the margin."""
    candidates = range(2, MOST_SEEDS + 1)
    n_blind = bisect.bisect(candidates, False, key=lambda n: _smallest_delta(plan, n, run_sd) <= plan.sweep.margin)
    return candidates[n_blind] if n_blind < len(candidates) else None
