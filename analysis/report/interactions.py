"""Two levers together: where both land, against the sum of what each does alone."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analysis.records import Effect, Report, Together
from analysis.report.drawing import (
    COLOURS,
    INK,
    MARGIN_BAND,
    MUTED,
    Figure,
    beside_row,
    interval_lines,
    rows_plot,
    svg_of,
)
from analysis.report.effects import pairs_left_out, pairs_of
from analysis.words import COMPOSING, SIGNS, Unit, interval_title, metric_title, unit_of

_STEP: Any = {"arrowstyle": "-|>,head_width=0.16,head_length=0.32", "color": MUTED, "shrinkA": 0, "shrinkB": 0}
"""The arrow of one lever's step."""
_HALF = 0.43
"""Half the height of a row's band, rows."""


def interactions(report: Report) -> Figure | None:
    """The steps of two levels alone, their sum, and both together, a row a pair; None where there is no pair."""
    pairs = [(effect, effect.together) for effect in pairs_of(report) if effect.together]
    if not pairs:
        return None
    unit = unit_of(report.metric)
    plot = rows_plot([effect.name.replace(" × ", "+") for effect, _ in pairs], right=1.75)
    plot.axes.axvline(0, color=INK, linewidth=0.8, zorder=2)
    for row, (effect, together) in enumerate(pairs):
        total = sum(together.apart)
        _sum(plot.axes, row, total, report.margin, unit)
        _steps(plot.axes, row, together, unit)
        _both(plot.axes, row, effect, together, unit)
    metric = metric_title(report.metric)
    plot.axes.set_xlabel(f"{metric}, against the baseline's levels{unit.of_deltas}")
    alt = f"Two levers together against their sum, in {metric}: {' '.join(effect.sentence for effect, _ in pairs)}"
    return Figure(
        name="interactions",
        title="How far from their sum do two levers land together?",
        caption=" ".join(filter(None, (_caption(report, unit), pairs_left_out(report)))),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _sum(axes: Axes, row: int, total: float, margin: float, unit: Unit) -> None:
    """A dashed line at the sum of both alone, and the margin around it."""
    at, half = total * unit.factor, margin * unit.factor
    axes.add_patch(
        Rectangle((at - half, row - _HALF), 2 * half, 2 * _HALF, color=MARGIN_BAND, linewidth=0, zorder=1)
    )
    axes.plot((at, at), (row - _HALF, row + _HALF), color=MUTED, linewidth=1, linestyle=(0, (2, 2)), zorder=3)


def _steps(axes: Axes, row: int, together: Together, unit: Unit) -> None:
    """An arrow for what each level does alone, the second from where the first ends."""
    one, total = together.apart[0] * unit.factor, sum(together.apart) * unit.factor
    for start, end, y in ((0.0, one, row - 0.3), (one, total, row - 0.16)):
        axes.annotate("", (end, y), (start, y), arrowprops=_STEP, zorder=4)


def _both(axes: Axes, row: int, effect: Effect, together: Together, unit: Unit) -> None:
    """Both together, with the interval of how far from the sum they would land."""
    verdict, f, total = COMPOSING[together.label], unit.factor, sum(together.apart)
    alone = ((total + effect.ci_low) * f, (total + effect.ci_high) * f)
    wide = ((total + effect.ci_low_simultaneous) * f, (total + effect.ci_high_simultaneous) * f)
    interval_lines(axes, row + 0.16, together.both * f, alone, wide, verdict)
    beside_row(axes, row, unit.delta(effect.estimate), f"{SIGNS[verdict]} {together.label}", COLOURS[verdict])


def _caption(report: Report, unit: Unit) -> str:
    return (
        "The arrows are what each lever does alone, one after the other; they end at the dashed line, the sum. "
        "The mark is what both do together. How far it lies from the sum stands at the right, and its lines are "
        f"the {interval_title(report.level)}s of that distance: thick for one pair by itself, thin for all pairs "
        "at once. Two levers compose where the thin line stays within the band, the margin of "
        f"{unit.size(report.margin)} either way "
        "of the sum; they reinforce or cancel where it leaves the dashed line on one side."
    )
