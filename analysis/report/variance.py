"""Where each delta's variance comes from: a bar an arm, in parts that more images or more seeds would shorten."""

from dataclasses import asdict
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.records import Report
from analysis.report.chance import Apportioned, Source, apportioned, percentages, what_helps
from analysis.report.drawing import (
    ACCENT,
    INK,
    MARGIN_BAND,
    MUTED,
    PAPER,
    Figure,
    beside_row,
    key_above,
    rows_plot,
    svg_of,
)
from analysis.words import Unit, unit_of

_NAMES: dict[Source, str] = {"images": "test images", "residual": "a run on an image", "seeds": "seeds"}
_LOOKS: dict[Source, dict[str, Any]] = {
    "images": {"facecolor": ACCENT, "edgecolor": ACCENT},
    "residual": {"facecolor": PAPER, "edgecolor": ACCENT, "hatch": "////"},
    "seeds": {"facecolor": MARGIN_BAND, "edgecolor": ACCENT},
}
"""Full, hatched and pale: told apart without their colour."""
_INKS: dict[Source, str] = {"images": PAPER, "residual": INK, "seeds": INK}
_THICK = 0.5
"""Height of a bar, rows."""
_ROOM = 0.11
"""Share of the axis that a percentage or a tick needs."""


def variance(report: Report) -> Figure | None:
    """Standard errors taken apart, a row an arm; None where no variance has several sources."""
    deltas = apportioned(report)
    if not deltas:
        return None
    unit = unit_of(report.metric)
    plot = rows_plot(["", *(delta.arm for delta in deltas)], right=1.6)
    _scale(plot.axes, unit.factor * max(delta.se for delta in deltas))
    _key(plot.axes)
    for row, delta in enumerate(deltas, start=1):
        _bar(plot.axes, row, delta, unit)
    plot.axes.set_xlabel(f"standard error of the delta{unit.of_deltas}, spaced as the variance")
    alt = f"Where the variance of each delta comes from: {'; '.join(_said(delta, unit) for delta in deltas)}."
    return Figure(
        name="variance",
        title="Where does the doubt in each delta come from?",
        caption=(
            "Each bar ends at the delta's standard error and is split as its variance is. More test images "
            "shorten the full and the hatched part, more seeds the hatched and the pale one; where the full part "
            "ends is what endless seeds would leave. Hatched is what a run does to an image that neither explains. "
            "The scale is stretched so that parts add up: half a bar is half the variance."
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _scale(axes: Axes, widest: float) -> None:
    """Variances across, with the standard errors that they come to written below."""
    axes.set_xlim(0, 1.005 * widest**2)
    room, ticks = _ROOM * widest**2, [0.0]
    for error in reversed(MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(0, widest)):
        if room <= error**2 <= widest**2 and all(abs(error**2 - other**2) >= room for other in ticks):
            ticks.append(error)
    axes.set_xticks([error**2 for error in ticks], [f"{error:.3g}" for error in ticks])


def _key(axes: Axes) -> None:
    """What the parts and the figures at the right are, in the row above the first bar."""
    key_above(axes, {_NAMES[part]: look for part, look in _LOOKS.items()})
    place: Any = {"transform": axes.get_yaxis_transform(), "va": "center"}
    axes.text(1.03, 0, "standard error", color=MUTED, fontsize=9, **place)


def _bar(axes: Axes, row: int, delta: Apportioned, unit: Unit) -> None:
    total, start = (delta.se * unit.factor) ** 2, 0.0
    percent, shares = percentages(delta.sources), asdict(delta.sources)
    for part, look in _LOOKS.items():
        width = total * shares[part]
        axes.barh(row, width, left=start, height=_THICK, linewidth=0.8, **look)
        if width >= _ROOM * axes.get_xlim()[1]:
            _percentage(axes, start + width / 2, row, part, percent[part])
        start += width
    beside_row(axes, row, unit.score(delta.se), what_helps(delta.sources))


def _percentage(axes: Axes, x: float, row: int, part: Source, percent: int) -> None:
    paper: Any = {"boxstyle": "round,pad=0.18", "facecolor": PAPER, "edgecolor": "none"}
    axes.text(
        x,
        row,
        f"{percent}%",
        ha="center",
        va="center_baseline",
        fontsize=8,
        color=_INKS[part],
        bbox=paper if part == "residual" else None,
    )


def _said(delta: Apportioned, unit: Unit) -> str:
    percent = percentages(delta.sources)
    parts = ", ".join(f"{_NAMES[part]} {percent[part]}%" for part in _LOOKS)
    return f"{delta.arm} standard error {unit.score(delta.se)}{unit.symbol} ({parts})"
