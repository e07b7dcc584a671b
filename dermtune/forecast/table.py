"""A forecast as a person reads it: two tables, what they rest on, and the answer."""

import math
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.planning import Variation
from analysis.words import (
    amount,
    chance_of,
    correlation,
    count,
    hours,
    level_title,
    listed,
    metric_title,
    unit_of,
    usd,
)
from dermtune.bill import outlook
from dermtune.forecast.answers import Kind, Sentence, answer
from dermtune.forecast.costs import Bill, FirstCost
from dermtune.forecast.foreseen import Forecast
from dermtune.forecast.seeing import LookSight, sees_nothing
from dermtune.plan import Search
from dermtune.progress import duration
from dermtune.spared import foretold

MOST_ARMS = 24
"""Beyond so many the arms are not listed one by one."""
SIGNS: dict[Kind, tuple[str, str]] = {"can": ("✓", "green"), "cannot": ("✗", "red"), "note": ("!", "yellow")}
"""A sentence's sign and its colour; the sign alone tells them apart."""


def print_forecast(forecast: Forecast, console: Console) -> None:
    """Print what was asked and is there, what it takes and can see, and whether that answers the question."""
    parts: list[RenderableType] = [_arms(forecast)]
    if forecast.sight is not None:
        parts.append(_looks(forecast))
    parts += [_basis(forecast), _answer(answer(forecast))]
    for part in parts:
        console.print(part, highlight=False)
        console.print()


def _table(*columns: str) -> Table:
    """Columns of numbers behind one of names."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    first, *others = columns
    table.add_column(first, overflow="fold")
    for column in others:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _arms(forecast: Forecast) -> Table:
    """What each arm, and the stage before, has and takes."""
    priced = forecast.budget.limits.usd_per_hour is not None
    table = _table("arm", "done", "to run", "hours", *(["cost"] if priced else []))
    if forecast.first:
        _first_rows(table, forecast.first, priced=priced)
    for arm in forecast.arms[:MOST_ARMS]:
        levers = ", ".join(level_title(lever, value) for lever, value in arm.changes.items())
        named = Text(arm.name)
        if forecast.plan.sweep.arms and levers != arm.name:
            named.append(f"  {levers}", "dim")
        table.add_row(named, str(arm.n_done), str(arm.n_to_run), *_billed(arm.left, priced=priced))
    if len(forecast.arms) > MOST_ARMS:
        table.add_row(Text(f"{len(forecast.arms) - MOST_ARMS} more arms", "dim"))
    n_first = forecast.first.n_to_run if forecast.first else 0
    ended_before = forecast.first.first.n_ended if forecast.first else 0
    n_done = len(forecast.plan.trials) - forecast.n_missing - forecast.n_spared + ended_before
    cells = (str(n_done), str(n_first + forecast.n_missing), *_billed(forecast.left, priced=priced))
    table.add_row("in all, at most" if _at_most(forecast) else "in all", *cells, style="bold")
    return table


def _first_rows(table: Table, cost: FirstCost, *, priced: bool) -> None:
    stage = cost.first.stage
    name = "search, at most" if isinstance(stage, Search) else "screening, at most"
    n = (str(cost.first.n_ended), str(cost.n_to_run))
    table.add_row(name, *n, *_billed(cost.at_most, priced=priced))
    if cost.expected:
        halving = Text(f"  as expected: 1 of {stage.reduction} goes on" if isinstance(stage, Search) else "", "dim")
        table.add_row(halving, "", "", *_billed(cost.expected, priced=priced), style="dim")


def _at_most(forecast: Forecast) -> bool:
    return forecast.first is not None or forecast.plan.sweep.repeats == "adaptive" or _has_heads(forecast)


def _has_heads(forecast: Forecast) -> bool:
    """Whether trials are to run that may share a frozen backbone's features, and are timed as if they did not."""
    return any(trial.config.levers.tuning == "head" for trial in forecast.missing)


def _looks(forecast: Forecast) -> Table:
    """What each look finds, and what is spent by then."""
    sight, sweep = forecast.sight, forecast.plan.sweep
    unit, priced = unit_of(sweep.primary_metric), forecast.budget.limits.usd_per_hour is not None
    chance = [f"finds {unit.size(sweep.margin)} in"] if sweep.margin else []
    cost = ["cost by then"] if priced else []
    table = _table("look" if sweep.looks else "judged", "level", "finds from", *chance, "hours by then", *cost)
    for look in sight.looks if sight else ():
        size = "nothing" if math.isinf(look.delta) else unit.size(look.delta)
        found = [] if look.chance is None else [f"{chance_of(look.chance)} of sweeps"]
        name = f"{count(look.n_seeds, 'seed')} an arm"
        bill = _billed(forecast.in_all(look.n_seeds), priced=priced)
        table.add_row(name, f"{100 * look.alpha:.3g}%", size, *found, *bill, style=_emphasis(forecast, look))
    return table


def _emphasis(forecast: Forecast, look: LookSight) -> str:
    """The look that these seeds reach stands out, those that they do not reach stand back."""
    judged = forecast.sight.judged if forecast.sight else None
    if not look.reached:
        return "dim"
    return "bold" if look is judged else ""


def _basis(forecast: Forecast) -> Table:
    """What the tables rest on."""
    plan, sweep = forecast.plan, forecast.plan.sweep
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    grid.add_row("seeds", f"{len(plan.seeds)}: {', '.join(map(str, plan.seeds))}")
    if sweep.looks:
        grid.add_row("looks", _reached(sweep.looks, len(plan.seeds), adaptive=sweep.repeats == "adaptive"))
    if sweep.repeats == "adaptive" and len(plan.arms) > 1:
        so_far = f"; {count(forecast.n_spared, 'trial')} spared so far" if forecast.n_spared else ""
        grid.add_row("repeats", foretold(plan, forecast.variation) + so_far)
    grid.add_row("metric", f"{metric_title(sweep.primary_metric)}, margin {_size(forecast, sweep.margin)}")
    grid.add_row("time", _time(forecast))
    if forecast.budget.limits.any or forecast.budget.spent().hours:
        title = "budget" if forecast.budget.limits.any else "spent"
        grid.add_row(title, outlook(forecast.budget, plan, forecast.missing) + _with_first(forecast))
    for title, text in _sights(forecast):
        grid.add_row(title, text)
    return grid


def _with_first(forecast: Forecast) -> str:
    """Whether the budget pays for the stage before as well; nothing where there is none, or no limit."""
    left, limits = forecast.left.hours, forecast.budget.limits
    if forecast.first is None or left is None or not limits.any:
        return ""
    fits = "fits" if left <= forecast.budget.hours_left() else "does not fit"
    return f"; with the first stage {hours(left)} at most, which {fits}"


def _reached(looks: Sequence[int], n_seeds: int, *, adaptive: bool) -> str:
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
    fewer = "; an arm that a look decides gets no further seeds" if adaptive else ""
    return f"{declared}; these {n_seeds} reach {which}{waiting}{fewer}"


def _time(forecast: Forecast) -> Text:
    origin, seconds = forecast.pace.origin, forecast.seconds_left
    if seconds is None:
        return Text("unknown until a first trial is done")
    if not forecast.n_missing:
        return Text(f"none: nothing is to run ({origin})")
    each = duration(seconds / forecast.n_missing)
    if forecast.pace.quartiles:
        low, high = map(duration, forecast.pace.quartiles)
        each += "" if low == high else f" ({low} to {high} at a step's quartiles)"
    whole = "in all" if forecast.first is None else "after the first stage"
    what = f"{duration(seconds)} {whole}, {count(forecast.n_missing, 'trial')} of {each}"
    heads = "; heads that share their backbone's features take less" if _has_heads(forecast) else ""
    return Text(f"{what}, {origin}; {_wall(forecast, seconds)}{heads}")


def _wall(forecast: Forecast, seconds: float) -> str:
    beside = forecast.pace.beside
    if beside is None:
        return "side by side where there is room"
    n = min(beside, forecast.n_missing)
    return f"{duration(seconds / n)} with {n} side by side" if n > 1 else "one after the other"


def _sights(forecast: Forecast) -> Iterator[tuple[str, Text]]:
    """Titles and texts: the noise that the sizes rest on, then the grid's effects."""
    sight = forecast.sight
    if sight is None:
        return
    yield "noise", Text(_noise(forecast, sight.variation))
    for title, effects in (("main effects", sight.main_effects), ("interactions", sight.interactions)):
        if effects and not sees_nothing(sight):
            each = ", ".join(f"{name} from {_size(forecast, effect.size)}" for name, effect in effects.items())
            yield title, Text(f"{each}, each judged by itself")


def _noise(forecast: Forecast, variation: Variation) -> str:
    shared = f", seed correlation {correlation(variation.seed_correlation)}" if variation.seed_correlation else ""
    images = f"sd from images {_size(forecast, variation.image_sd)}, " if variation.image_sd else "images "
    return (
        f"run-to-run sd {_size(forecast, variation.run_sd)}{shared}, {variation.run_sd_from}; "
        f"{images}{variation.image_sd_from}"
    )


def _answer(sentences: Sequence[Sentence]) -> Table:
    """The answer first, a sign before each sentence."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for sentence in sentences:
        sign, colour = SIGNS[sentence.kind]
        style = "bold" if sentence.kind != "note" else ""
        grid.add_row(Text(sign, colour), Text(sentence.text, style))
    return grid


def _billed(bill: Bill, *, priced: bool) -> list[str]:
    hours_said = "?" if bill.hours is None else amount(bill.hours)
    return [hours_said, *(["?" if bill.usd is None else usd(bill.usd)] if priced else [])]


def _size(forecast: Forecast, value: float) -> str:
    return unit_of(forecast.plan.sweep.primary_metric).size(value)
