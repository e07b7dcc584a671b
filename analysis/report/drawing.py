"""What every figure shares: its record, the palette, and matplotlib's canvas turned into clean SVG."""

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from html import escape
from textwrap import wrap
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch

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
"""Inches, of all figures but the heat maps that need more."""
_LEGIBLE, _AMPLE = 0.075, 0.106
"""Rem of page for a point of figure: less cannot be read, more is not needed."""
_PIXELS = 200
"""An inch, in a PNG."""
_LONGEST_LINE = 30
"""Characters of an arm's name in one line."""

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.parse_math": False,
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
    "hatch.linewidth": 0.7,
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
    canvas: Canvas = field(compare=False, repr=False)
    """What it was drawn on, for other formats."""

    def png(self) -> bytes:
        """The figure in pixels, 200 to an inch, its title and caption inside."""
        buffer = io.BytesIO()
        about = {"Software": None, "Title": self.title, "Description": self.caption}
        with styled():
            self.canvas.savefig(buffer, format="png", dpi=_PIXELS, facecolor=PAPER, metadata=about)
        return buffer.getvalue()

    def inline(self) -> str:
        """The SVG element for a page: as wide as the page gives, the page's colours, ids of its own."""
        head, _, body = self.svg.partition("</title>")
        body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", body)
        for colour, variable in _VARIABLES.items():
            body = body.replace(colour, f"var({variable})")
        (box,) = re.findall(r'viewBox="([^"]*)"', head)
        width = float(box.split()[2])
        style = f"min-width: {_LEGIBLE * width:.1f}rem; max-width: {_AMPLE * width:.1f}rem"
        return f'<svg role="img" aria-label="{escape(self.alt)}" viewBox="{box}" style="{style}">{body}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """An empty canvas with one pair of axes in it."""

    canvas: Canvas
    axes: Axes


def rows_plot(arms: Sequence[str], *, right: float) -> Plot:
    """Axes with one row an arm, the first on top, its name at the left; `right` inches stay free for words."""
    names = [wrapped(arm) for arm in arms]
    left = 0.3 + 0.073 * max(len(line) for lines in names for line in lines)
    row = 0.12 + 0.17 * max(2, *map(len, names))
    plot = empty_plot((WIDTH, row * len(arms) + 0.6), left=left, right=right, top=0.1, bottom=0.5)
    plot.axes.set_ylim(len(arms) - 0.4, -0.6)
    plot.axes.set_yticks(range(len(arms)), ["\n".join(lines) for lines in names])
    plot.axes.tick_params(axis="y", pad=8)
    return plot


def empty_plot(size: tuple[float, float], *, left: float, right: float, top: float, bottom: float) -> Plot:
    """Axes on a canvas of this width and height; all in inches."""
    width, height = size
    canvas = Canvas(figsize=size)
    inside = (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    return Plot(canvas=canvas, axes=canvas.add_axes(inside))


def styled() -> AbstractContextManager[None]:
    """The look that all figures are drawn in: names are never formulas, text stays text."""
    return mpl.rc_context(_STYLE)


def svg_of(plot: Plot, alt: str) -> str:
    """The canvas as SVG: no date, no program's name, ids that depend on the drawing alone, text as text."""
    buffer = io.StringIO()
    silent = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    plot.canvas.savefig(buffer, format="svg", facecolor=PAPER, metadata=silent)
    svg = buffer.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    at = svg.index(">", svg.index("<svg")) + 1
    return f"{svg[:at]}\n <title>{escape(alt)}</title>{svg[at:]}"


def key_above(axes: Axes, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Write what the looks of a bar's parts mean, by name, in the row above the first bar."""
    axes.legend(
        handles=[Patch(label=name, linewidth=0.8, **look) for name, look in looks.items()],
        loc="center left",
        bbox_to_anchor=(0, 0),
        bbox_transform=axes.transData,
        ncols=len(looks),
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        handlelength=1.4,
        columnspacing=1.4,
    )


def wrapped(arm: str) -> list[str]:
    """The arm's name in lines, a new one for each lever."""
    return [line for part in arm.replace("+", "\n+ ").split("\n") for line in wrap(part, _LONGEST_LINE)] or [arm]


def interval_lines(
    axes: Axes, y: float, middle: float, alone: tuple[float, float], together: tuple[float, float], verdict: Verdict
) -> None:
    """Draw an estimate with its own interval, thick, and the one that holds for its whole family, thin."""
    colour = COLOURS[verdict]
    axes.plot(together, (y, y), color=colour, linewidth=1.1, zorder=3)
    axes.plot(alone, (y, y), color=colour, linewidth=3.4, solid_capstyle="butt", zorder=4)
    axes.plot(middle, y, MARKERS[verdict], color=colour, markersize=7, markeredgecolor=PAPER, zorder=5)


def beside_row(axes: Axes, row: int, value: str, words: str, colour: str = MUTED) -> None:
    """Write a value and, below it, some words at the right of a row."""
    place: Any = {"xycoords": axes.get_yaxis_transform(), "va": "center", "annotation_clip": False, "fontsize": 9}
    axes.annotate(value, (1.03, row - 0.17), weight="bold", color=INK, **place)
    axes.annotate(words, (1.03, row + 0.19), color=colour, **place)
