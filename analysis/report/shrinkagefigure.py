"""The figure of what is left of each pick's delta, from the first stage to fresh seeds to `test`."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.findings.selection import Confirmed, Selection
from analysis.records import Report
from analysis.report.drawing import ACCENT, INK, MUTED, PAPER, RULE, WARM, Figure, beside_row, rows_plot, svg_of
from analysis.words import Unit, interval_title, metric_title, unit_of

_STEPS = 0.24
"""Rows between a pick's marks."""
_LOOKS: tuple[dict[str, Any], ...] = (
    {"marker": "o", "color": MUTED, "markersize": 6.5, "markerfacecolor": PAPER, "markeredgewidth": 1.5},
    {"marker": "s", "color": ACCENT, "markersize": 6},
    {"marker": "D", "color": INK, "markersize": 6},
)
"""In the first stage, with fresh seeds, on test."""
_CHANCE: dict[str, Any] = {"marker": "|", "color": WARM, "markersize": 11, "markeredgewidth": 1.8}


def shrinkage_title(selection: Selection) -> str:
    """The question that section and figure answer."""
    searched = selection.first_stage.stage == "search"
    return f"What is left of what the {'search' if searched else 'screening'} saw?"


def shrinkage_figure(report: Report, selection: Selection) -> Figure:
    """Each pick's delta in the first stage, with fresh seeds and on test, one below the other."""
    unit, picks = unit_of(selection.first_stage.metric), selection.confirmed
    plot = rows_plot(["", *(one.arm for one in picks)], right=1.5)
    plot.axes.plot((0, 0), (0.4, len(picks) + 0.6), color=INK, linewidth=0.8, zorder=1)
    for row, one in enumerate(picks, start=1):
        _steps(plot.axes, row, one, unit)
    _key(plot.axes, selection)
    metric = metric_title(selection.first_stage.metric)
    plot.axes.set_xlabel(f"{metric}, arm minus baseline{unit.of_deltas}")
    alt = f"Deltas of the picks in {metric}. {'; '.join(_read_out(one, unit) for one in picks)}."
    chance = " The upright mark is what the pick of this place would show if no lever did anything."
    return Figure(
        name="shrinkage",
        title=shrinkage_title(selection),
        caption=(
            "Each arm's delta to the baseline, from the top: in the first stage on val, which picked it; with "
            "fresh seeds on the same val; on test, with the interval that holds for all arms at once and gives the "
            f"verdict ({interval_title(report.verdicts_level)}).{chance if selection.yardstick else ''}"
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _steps(axes: Axes, row: int, one: Confirmed, unit: Unit) -> None:
    steps = [(one.first, row - _STEPS), (one.fresh, row), (one.test, row + _STEPS)]
    at = [(unit.factor * value, y) for value, y in steps if value is not None]
    axes.plot([value for value, _ in at], [y for _, y in at], color=RULE, linewidth=1.6, zorder=2)
    for (value, y), look in zip(steps, _LOOKS, strict=True):
        if value is not None:
            axes.plot(unit.factor * value, y, linestyle="", zorder=4, **look)
    if one.ci_low is not None and one.ci_high is not None:
        ends = (unit.factor * one.ci_low, unit.factor * one.ci_high)
        axes.plot(ends, (row + _STEPS,) * 2, color=INK, linewidth=1.3, zorder=3)
    if one.by_chance is not None:
        axes.plot(unit.factor * one.by_chance, row - _STEPS, linestyle="", zorder=5, **_CHANCE)
    seen, *later = ("–" if value is None else unit.delta(value) for value, _ in steps)
    beside_row(axes, row, seen, f"→ {' → '.join(later)}")


def _key(axes: Axes, selection: Selection) -> None:
    """What the marks are, in the row above the first pick."""
    names = [f"{selection.first_stage.stage}, val", "fresh seeds, val", "test"]
    looks = [*_LOOKS]
    if selection.yardstick:
        names, looks = [*names, "by chance"], [*looks, _CHANCE]
    axes.legend(
        handles=[Line2D([], [], linestyle="", label=name, **look) for name, look in zip(names, looks, strict=True)],
        loc="center left", bbox_to_anchor=(0, 0), bbox_transform=axes.get_yaxis_transform(), ncols=len(names),
        frameon=False, borderaxespad=0, borderpad=0, handlelength=1.0, columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip


def _read_out(one: Confirmed, unit: Unit) -> str:
    steps = {"in the first stage": one.first, "with fresh seeds": one.fresh, "on test": one.test}
    said = [f"{unit.said(value)} {where}" for where, value in steps.items() if value is not None]
    return f"{one.arm} {', '.join(said)}"
