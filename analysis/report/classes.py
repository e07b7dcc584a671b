"""Heat maps of the classes: whose recall an arm changes, and which classes swallow others."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analysis.findings.held import Held
from analysis.findings.tail import ClassMoves
from analysis.records import ClassScore, Report
from analysis.report.drawing import ACCENT, INK, WARM, WIDTH, Figure, Plot, empty_plot, svg_of, wrapped
from analysis.words import unit_of

_STRONGEST = 0.5
"""Opacity of the fullest colour: ink stays readable on it, in the light and in the dark."""
_CELL = 0.32
"""Height of a cell, inches."""
_WIDEST = 1.1
"""Width of a cell where there is room, inches."""
_RIGHT = 0.85
"""Room for the last column's slanted name, inches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    strength: float
    """-1 (all orange) to 1 (all blue)."""
    text: str
    real: bool
    """Whether what it shows moved beyond chance."""


def recall_deltas(report: Report) -> Figure | None:
    """Each class's recall, arm minus baseline; None where nothing is compared."""
    if not report.comparisons or not report.class_names:
        return None
    classes, unit = _classes(report), unit_of("recall")
    by_arm = [report.class_deltas_of(comparison) for comparison in report.comparisons]
    deltas = [[of_arm[k.name] for of_arm in by_arm] for k in classes]
    span = max(report.margin, *(abs(delta) for row in deltas for delta in row), 1e-9)
    arms = [comparison.arm for comparison in report.comparisons]
    moved = _moved(report, lambda k: k.recall)
    cells = [
        [
            _Cell(strength=d / span, text=unit.said(d).removesuffix(unit.symbol), real=(k.name, arm) in moved)
            for arm, d in zip(arms, row, strict=True)
        ]
        for k, row in zip(classes, deltas, strict=True)
    ]
    plot = _heat_map(arms, classes, cells)
    alt = f"Change of each class's recall in points. {_said(arms, classes, cells)}"
    return Figure(
        name="class-recall",
        title="Which classes gain, and which pay?",
        caption=(
            "Recall, arm minus baseline, in points: blue gains, orange loses. Classes run from the most test "
            f"images to the fewest. {_grain(classes[-1])} {_framed(report)}"
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def over_prediction(report: Report) -> Figure | None:
    """Images predicted as a class over images of it: a column an arm, the baseline first; None without classes."""
    if not report.class_names:
        return None
    classes = _classes(report)
    by_arm = [{score.name: score.over_prediction for score in arm.classes} for arm in report.arms]
    ratios = [[scores[k.name] for scores in by_arm] for k in classes]
    arms = [arm.arm for arm in report.arms]
    moved = _moved(report, lambda k: k.over_prediction)
    cells = [
        [
            _Cell(strength=_doublings(ratio), text=f"{ratio:.2f}", real=(k.name, arm) in moved)
            for arm, ratio in zip(arms, row, strict=True)
        ]
        for k, row in zip(classes, ratios, strict=True)
    ]
    plot = _heat_map(arms, classes, cells)
    alt = f"Images predicted as a class over images of it. {_said(arms, classes, cells)}"
    return Figure(
        name="over-prediction",
        title="Which classes swallow others?",
        caption=(
            "Images predicted as the class, over images of the class: 1.00 is even, 2.00 says it twice as often as "
            "it occurs. Orange is said too often, blue too seldom; the colour is full at twice and at half."
            f"{_framed_ratios(report)}"
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _classes(report: Report) -> list[ClassScore]:
    """The baseline's classes, the most test images first."""
    return sorted(report.arms[0].classes, key=lambda k: -k.n_images)


def _moved(report: Report, deltas: Callable[[ClassMoves], Sequence[Held]]) -> set[tuple[str, str]]:
    """Classes and arms whose interval, held for all classes and arms at once, excludes nought."""
    classes = report.tail.classes if report.tail else ()
    return {(k.name, delta.arm) for k in classes for delta in deltas(k) if delta.real}


def _framed(report: Report) -> str:
    if report.tail is None:
        return "No interval is drawn for a single class, so read rows, not cells."
    return (
        "Framed and bold is what moved beyond chance: the interval of the class, held for all classes and arms at "
        "once, excludes 0."
    )


def _framed_ratios(report: Report) -> str:
    return " Framed and bold is what differs from the baseline beyond chance." if report.tail else ""


def _doublings(ratio: float) -> float:
    """Minus log2 of the ratio, held to one doubling either way."""
    return max(-1.0, min(1.0, -math.log2(ratio))) if ratio > 0 else 1.0


def _grain(rarest: ClassScore) -> str:
    share = 100 / rarest.n_images
    return f"One image of {rarest.name} (n = {rarest.n_images}) is worth {share:.1f} points in one run."


def _heat_map(arms: Sequence[str], classes: Sequence[ClassScore], cells: Sequence[Sequence[_Cell]]) -> Plot:
    names = [f"{k.name}  {k.n_images:,}" for k in classes]
    labels = [wrapped(arm) for arm in arms]
    left = 0.25 + 0.072 * max(map(len, names))
    top = 0.3 + 0.045 * max(len(line) for lines in labels for line in lines)
    column = 0.12 + 0.18 * max(2, *map(len, labels))
    size = (max(WIDTH, left + column * len(arms) + _RIGHT), top + 0.1 + _CELL * len(classes))
    right = max(_RIGHT, size[0] - left - _WIDEST * len(arms))
    plot = empty_plot(size, left=left, right=right, top=top, bottom=0.1)
    _label(plot.axes, arms, names)
    for row, line in enumerate(cells):
        for column, cell in enumerate(line):
            _draw(plot.axes, row, column, cell)
    return plot


def _label(axes: Axes, arms: Sequence[str], names: Sequence[str]) -> None:
    axes.set_xlim(-0.5, len(arms) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), list(names))
    axes.set_xticks(range(len(arms)), ["\n".join(wrapped(arm)) for arm in arms])
    axes.tick_params(axis="x", top=False, bottom=False, labeltop=True, labelbottom=False, pad=2)
    axes.spines["bottom"].set_visible(False)
    for label in axes.get_xticklabels():
        label.set(rotation=45, ha="left", va="bottom", rotation_mode="anchor", fontsize=7.5)


def _draw(axes: Axes, row: int, column: int, cell: _Cell) -> None:
    colour = ACCENT if cell.strength >= 0 else WARM
    opacity = round(_STRONGEST * min(1.0, abs(cell.strength)), 3)
    axes.add_artist(
        Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, facecolor=colour, alpha=opacity, edgecolor="none")
    )
    weight = "bold" if cell.real else "normal"
    axes.text(column, row, cell.text, ha="center", va="center_baseline", fontsize=7.5, color=INK, weight=weight)
    if cell.real:
        axes.add_artist(Rectangle((column - 0.45, row - 0.43), 0.9, 0.86, fill=False, edgecolor=INK, linewidth=1.1))


def _said(arms: Sequence[str], classes: Sequence[ClassScore], cells: Sequence[Sequence[_Cell]]) -> str:
    rows = (
        f"{k.name}: " + ", ".join(f"{arm} {cell.text}" for arm, cell in zip(arms, row, strict=True))
        for k, row in zip(classes, cells, strict=True)
    )
    return "; ".join(rows) + "."
