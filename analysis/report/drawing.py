"""What every figure shares: its record, the palette, and matplotlib's canvas turned into clean SVG."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from analysis.records import Verdict

INK, MUTED, RULE, PAPER = "#1c2430", "#5f6b7a", "#d3d9e0", "#fffffe"
ACCENT, WARM = "#1a5fb4", "#b3541e"
"""Blue for better, burnt orange for worse: a pair that every kind of colour vision tells apart."""
MARGIN_BAND, NOISE_BAND = "#e4eaf2", "#f4f1ea"

_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    PAPER: "--paper",
    ACCENT: "--accent",
    WARM: "--warm",
    MARGIN_BAND: "--margin-band",
    NOISE_BAND: "--noise-band",
}
"""The page's CSS variable of each colour, so that an inlined figure follows the page into the dark."""

COLOURS: dict[Verdict, str] = {"keep": ACCENT, "reject": WARM, "inconclusive": MUTED}
MARKERS: dict[Verdict, str] = {"keep": "o", "reject": "X", "inconclusive": "D"}

WIDTH = 7.6
"""Inches; the page shows a figure at this width times 1.3."""
ROW = 0.46
"""Height of an arm's row, inches."""

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "xtick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "ytick.left": False,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "dermtune",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One drawing with the words that belong to it."""

    name: str
    """File name without its ending, and the anchor in the page."""
    title: str
    caption: str
    """What to see in it."""
    alt: str
    """The same for a reader who does not see it."""
    svg: str
    """A whole SVG document in the light colours."""

    def inline(self) -> str:
        """The SVG element for a page: its colours are the page's variables, its ids its own."""
        svg = self.svg[self.svg.index("<svg") :]
        svg = re.sub(
            r'^<svg([^>]*?) width="[^"]*"', r"<svg\1", re.sub(r'^<svg([^>]*?) height="[^"]*"', r"<svg\1", svg)
        )
        svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", svg)
        for colour, variable in _VARIABLES.items():
            svg = svg.replace(colour, f"var({variable})")
        return svg.replace("<svg", '<svg role="img"', 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """An empty canvas with one pair of axes in it."""

    canvas: Canvas
    axes: Axes


def rows_plot(arms: Sequence[str], *, right: float) -> Plot:
    """Axes with one row an arm, the first on top, its name at the left; `right` inches stay free for words."""
    labels = [wrapped(arm) for arm in arms]
    left = 0.3 + 0.073 * max(len(line) for label in labels for line in label.split("\n"))
    height = ROW * len(arms) + 0.75
    plot = empty_plot(height, left=left, right=right, top=0.15, bottom=0.6)
    plot.axes.set_ylim(len(arms) - 0.4, -0.6)
    plot.axes.set_yticks(range(len(arms)), labels)
    plot.axes.tick_params(axis="y", pad=8)
    return plot


def empty_plot(height: float, *, left: float, right: float, top: float, bottom: float) -> Plot:
    """Axes on a canvas of the common width; all in inches."""
    with mpl.rc_context(_STYLE):
        canvas = Canvas(figsize=(WIDTH, height))
        inside = (left / WIDTH, bottom / height, 1 - (left + right) / WIDTH, 1 - (top + bottom) / height)
        return Plot(canvas=canvas, axes=canvas.add_axes(inside))


def svg_of(plot: Plot, alt: str) -> str:
    """The canvas as SVG: no date, no program's name, ids that depend on the drawing alone, text as text."""
    buffer = io.StringIO()
    silent = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(_STYLE):
        plot.canvas.savefig(buffer, format="svg", facecolor=PAPER, metadata=silent)
    svg = buffer.getvalue()
    at = svg.index(">", svg.index("<svg")) + 1
    return f"{svg[:at]}\n <title>{escape(alt)}</title>{svg[at:]}"


def wrapped(arm: str) -> str:
    """The arm's name, a line for each lever."""
    return arm.replace("+", "\n+ ")


def beside_row(axes: Axes, row: int, value: str, words: str, colour: str = MUTED) -> None:
    """Write a value and, below it, some words at the right of a row."""
    place: Any = {"xycoords": axes.get_yaxis_transform(), "va": "center", "annotation_clip": False}
    axes.annotate(value, (1.03, row - 0.17), weight="bold", color=INK, **place)
    axes.annotate(words, (1.03, row + 0.19), color=colour, **place)
