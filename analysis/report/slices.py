"""Every score of a search by each lever's value, a small panel a lever."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.findings.selection import FirstStage
from analysis.report.drawing import INK, WIDTH, Figure, Plot, svg_of
from analysis.report.searchmarks import better, draw_baseline, draw_points, frame, key, score_of, whole_points
from analysis.words import level_words, metric_title, unit_of

_DECADE = 10.0
"""A lever that is searched by its logarithm has such an axis where its values span more than this."""
_PANELS = 3
"""Levers in a row of panels."""
_HIGH = 1.6
"""Inches of a panel."""
_GAP, _BELOW, _LEFT, _TOP = 0.36, 0.62, 0.68, 0.42
"""Inches at the right of a panel, below it, at the left of all and above all."""


def slices(first: FirstStage) -> Figure | None:
    """The panels in the order of the levers; None without a lever."""
    levers = list(dict.fromkeys(lever for one in first.tried[1:] for lever in one.levers))
    if not levers:
        return None
    canvas, panels = _panels(len(levers))
    for axes, lever in zip(panels, levers, strict=True):
        _slice(axes, first, lever)
    for axes in panels[::_PANELS]:
        axes.set_ylabel(f"{metric_title(first.metric)}\non val{unit_of(first.metric).of_scores}")
    key(panels[0])
    best = max(whole_points(first), key=lambda one: better(first) * score_of(one, first))
    values = ", ".join(f"{lever} {level_words(value)}" for lever, value in best.levers.items())
    alt = f"Scores on val by the value of {', '.join(levers)}. The best, {best.name}, has {values}."
    return Figure(
        name="search-slices",
        title="Where did each lever do well?",
        caption=(
            f"Every point at its value of each lever, with the other levers as that point had them: "
            f"{metric_title(first.metric)} on val, one training seed. Dots were trained to the end; crosses were "
            "pruned and stand at the score that they had then, carets on the edge lie beyond the axis; rings are "
            "the picks, the broken line is the baseline. A lever that matters by itself shows a slope; one that "
            "matters only beside others does not."
        ),
        alt=alt,
        svg=svg_of(Plot(canvas=canvas, axes=panels[0]), alt),
        canvas=canvas,
    )


def _panels(n: int) -> tuple[Canvas, list[Axes]]:
    """A canvas and its n pairs of axes, row by row."""
    columns, rows = min(n, _PANELS), math.ceil(n / _PANELS)
    wide, height = (WIDTH - _LEFT) / columns - _GAP, _TOP + rows * (_HIGH + _BELOW)
    canvas = Canvas(figsize=(WIDTH, height))

    def panel(number: int) -> Axes:
        row, column = divmod(number, _PANELS)
        left, top = _LEFT + column * (wide + _GAP), _TOP + row * (_HIGH + _BELOW)
        return canvas.add_axes((left / WIDTH, 1 - (top + _HIGH) / height, wide / WIDTH, _HIGH / height))

    return canvas, [panel(number) for number in range(n)]


def _slice(axes: Axes, first: FirstStage, lever: str) -> None:
    draw_baseline(axes, first)
    draw_points(axes, first, _places(axes, first, lever))
    axes.set_xlabel(lever, color=INK)
    frame(axes)


def _places(axes: Axes, first: FirstStage, lever: str) -> dict[int, float]:
    """Where each point stands across: at its value, or at the place of its name among the levels."""
    values = {one.number: one.levers[lever] for one in first.tried[1:] if lever in one.levers}
    if any(isinstance(value, bool | str) or value is None for value in values.values()):
        levels = sorted(set(map(level_words, values.values())))
        axes.set_xticks(range(len(levels)), levels)
        axes.set_xlim(-0.5, len(levels) - 0.5)
        return {number: float(levels.index(level_words(value))) for number, value in values.items()}
    at = {number: float(value) for number, value in values.items()}
    if lever in first.by_factors and max(at.values()) > _DECADE * min(at.values()):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    return at
