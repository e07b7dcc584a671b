"""What more seeds would buy: how far intervals would shrink, and how small a delta they would find."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator

from analysis.measured import LEAST_DF, variation_of
from analysis.planning import Aim, Layout, half_width, smallest_detectable
from analysis.records import Report
from analysis.report.drawing import ACCENT, MUTED, WIDTH, Figure, empty_plot, svg_of
from analysis.report.section import Column, Table
from analysis.words import Unit, unit_of

_LADDER = (3, 5, 10, 20, 50, 100)
"""Seeds an arm that are looked at beyond those that are there."""
_STEPS = 3
"""How many of them."""
_POWER = 0.8
_LINE = 0.085
"""Height of a line of words, as a share of the axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What some number of seeds an arm would see, with the images and the noise of this report."""

    n_seeds: int | None
    """None for endless seeds."""
    half_width: float
    """Half the width of the interval that holds for all arms at once, a fraction."""
    smallest: float
    """The true delta that four studies of five would find, a fraction."""


def prospects(report: Report) -> tuple[Prospect, ...]:
    """From the seeds that are there to endless ones, two or more.

    None where the run-to-run noise was hardly measured, and where more seeds change nothing: for these checkpoints
    on new images.
    """
    noise = report.noise
    if noise is None or noise.df < LEAST_DF or not noise.sd:
        return ()
    if report.estimand == "images" or not report.comparisons:
        return ()
    variation = variation_of(report)
    if report.estimand == "seeds":
        variation = replace(variation, image_sd=0.0)
    layout = Layout(n_arms=len(report.arms), variation=variation, paired=noise.paired)
    aim = Aim(n_comparisons=len(report.comparisons), power=_POWER, level=report.level)
    now = max(2, _n_now(report))
    more = [n for n in _LADDER if n > now][:_STEPS] or [2 * now]
    endless: list[int | None] = [None] if variation.image_sd else []
    return tuple(
        Prospect(
            n_seeds=n,
            half_width=half_width(layout, n, aim),
            smallest=smallest_detectable(layout, n, aim),
        )
        for n in (now, *more, *endless)
    )


def _n_now(report: Report) -> int:
    """Seeds an arm that go with the report's level: the last look's where arms stopped at looks of their own."""
    if report.repeats and report.look:
        return report.look.n_seeds
    return min(arm.n_seeds for arm in report.arms)


def more_seeds_table(rows: Sequence[Prospect], unit: Unit) -> Table:
    """A row a number of seeds, those that are there first."""
    points = unit.symbol and f",{unit.symbol}"
    return Table(
        name="What more seeds would buy",
        columns=(
            Column(title="seeds an arm"),
            Column(title=f"interval, either way{points}", number=True),
            Column(title=f"smallest delta found{points}", number=True),
        ),
        rows=tuple(
            (
                f"{_seeds(row)}, as it is" if row is rows[0] else _seeds(row),
                unit.score(row.half_width),
                unit.score(row.smallest),
            )
            for row in rows
        ),
    )


def more_seeds_said(rows: Sequence[Prospect], unit: Unit) -> str:
    """The next step in a sentence."""
    now, more, *_ = rows
    left = f"; endless seeds would leave {unit.size(rows[-1].half_width)}" if rows[-1].n_seeds is None else ""
    return (
        f"With {_seeds(more)} seeds an arm instead of {_seeds(now)}, the intervals would reach "
        f"{unit.size(more.half_width)} either way instead of {unit.size(now.half_width)}{left}. Four studies of "
        f"five would find a true delta of {unit.size(more.smallest)}, where this design finds one of "
        f"{unit.size(now.smallest)}."
    )


def more_seeds(report: Report) -> Figure | None:
    """Interval and smallest delta against the number of seeds; None where nothing can be foretold."""
    rows = prospects(report)
    if not rows:
        return None
    unit = unit_of(report.metric)
    plot = empty_plot((WIDTH, 2.9), left=0.75, right=1.75, top=0.2, bottom=0.55)
    _curves(plot.axes, rows, unit)
    _scale(plot.axes, rows, unit)
    _names(plot.axes, rows, report.margin, unit)
    said = "; ".join(
        f"{_seeds(row)} seeds {unit.score(row.half_width)} and {unit.score(row.smallest)}" for row in rows
    )
    alt = f"How far intervals reach and the smallest delta found{unit.symbol and ', in points'}: {said}."
    return Figure(
        name="more-seeds",
        title="What would more seeds buy?",
        caption=(
            "Dots are the true delta that four studies of five would find, squares how far the interval that "
            "holds for all arms at once reaches either way; the first of each are this design's. Both go with "
            "these test images and this run-to-run noise, as if it were known for sure. Where they flatten, images "
            "are what is short."
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _curve(rows: Sequence[Prospect], unit: Unit, value: Callable[[Prospect], float]) -> list[tuple[int, float]]:
    return [(row.n_seeds, unit.factor * value(row)) for row in rows if row.n_seeds]


def _curves(axes: Axes, rows: Sequence[Prospect], unit: Unit) -> None:
    """Both curves, their values in print: above the upper one, below the lower one."""
    found = _curve(rows, unit, lambda row: row.smallest)
    reach = _curve(rows, unit, lambda row: row.half_width)
    for points, look, up, side in ((found, "o-", 6, "bottom"), (reach, "s--", -6, "top")):
        axes.plot(*zip(*points, strict=True), look, color=ACCENT, linewidth=1.5, markersize=6)
        for n, value in points:
            place: Any = {"xytext": (0, up), "textcoords": "offset points", "ha": "center", "va": side}
            axes.annotate(f"{value:.{unit.decimals}f}", (n, value), fontsize=8, **place)


def _scale(axes: Axes, rows: Sequence[Prospect], unit: Unit) -> None:
    ticks = [row.n_seeds for row in rows if row.n_seeds]
    axes.set_xscale("log")
    axes.set_xlim(ticks[0] / 1.12, ticks[-1] * 1.12)
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("seeds an arm")
    axes.set_ylim(0, 1.15 * unit.factor * rows[0].smallest)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylabel(f"delta{unit.of_deltas}")


def _names(axes: Axes, rows: Sequence[Prospect], margin: float, unit: Unit) -> None:
    """What the curves are, where they end, and a line across at the margin, where it is in sight."""
    last, top = [row for row in rows if row.n_seeds][-1], axes.get_ylim()[1]
    names = {"smallest delta found": last.smallest, "interval, either way": last.half_width}
    if 0 < unit.factor * margin < top:
        axes.axhline(unit.factor * margin, color=MUTED, linewidth=0.9, linestyle=":", zorder=1)
        names[f"margin {unit.size(margin)}"] = margin
    below = math.inf
    for words, value in sorted(names.items(), key=lambda name: -name[1]):
        below = min(unit.factor * value, below - _LINE * top)
        colour = MUTED if words.startswith("margin") else ACCENT
        axes.annotate(
            words, (1.02, below), xycoords=axes.get_yaxis_transform(), va="center", color=colour, fontsize=8.5,
            annotation_clip=False,
        )  # fmt: skip


def _seeds(row: Prospect) -> str:
    return "endless" if row.n_seeds is None else str(row.n_seeds)
