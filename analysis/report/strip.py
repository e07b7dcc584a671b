"""An interval drawn in one line of characters, on a scale that all arms share."""

from dataclasses import dataclass

from rich.text import Text

from analysis.records import Comparison, Report
from analysis.words import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The stretch of deltas that a strip shows."""

    low: float
    high: float
    margin: float
    width: int
    """Characters."""

    def column(self, delta: float) -> int:
        """The character that stands for a delta."""
        return round((delta - self.low) / (self.high - self.low) * (self.width - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    mark: str
    crossing: str
    """The mark where the line crosses nought."""


_LIGHT = _Line(mark="─", crossing="┼")
_HEAVY = _Line(mark="━", crossing="┿")


def scale_of(report: Report, width: int) -> Scale:
    """A scale on which every interval, nought and both margins fit."""
    ends = [e for c in report.comparisons for e in (c.ci_low_simultaneous, c.ci_high_simultaneous)]
    ends += [-report.margin, report.margin]
    spare = 0.02 * (max(ends) - min(ends)) or 0.001
    return Scale(low=min(ends) - spare, high=max(ends) + spare, margin=report.margin, width=width)


def strip(comparison: Comparison, scale: Scale, style: str) -> Text:
    """`┊ ─━┿━●━━━─`: delta, its own interval (heavy), the one over all arms (light), nought and the margins."""
    cells = _ruled(scale)
    _line(cells, scale, comparison.ci_low_simultaneous, comparison.ci_high_simultaneous, _LIGHT, style)
    _line(cells, scale, comparison.ci_low, comparison.ci_high, _HEAVY, style)
    cells[scale.column(comparison.delta)] = ("●", style)
    return Text.assemble(*cells)


def ruler(scale: Scale, unit: Unit) -> Text:
    """The heading of the strips: nought and both margins where they stand."""
    margin = unit.size(scale.margin).removesuffix(unit.symbol)
    text = [" "] * scale.width
    zero, minus, plus = (scale.column(delta) for delta in (0.0, -scale.margin, scale.margin))
    _place(text, zero, "0")
    _place(text, minus - len(margin), f"−{margin}")
    _place(text, plus, f"+{margin}")
    return Text("".join(text))


def _ruled(scale: Scale) -> list[tuple[str, str]]:
    cells = [(" ", "")] * scale.width
    for delta, mark in ((-scale.margin, "┊"), (scale.margin, "┊"), (0.0, "│")):
        cells[scale.column(delta)] = (mark, "dim")
    return cells


def _line(cells: list[tuple[str, str]], scale: Scale, low: float, high: float, line: _Line, style: str) -> None:
    for column in range(scale.column(low), scale.column(high) + 1):
        crosses = column == scale.column(0.0)
        cells[column] = (line.crossing if crosses else line.mark, style)


def _place(text: list[str], start: int, mark: str) -> None:
    """Write the mark, inside the line, where it touches no other."""
    start = max(0, min(start, len(text) - len(mark)))
    around = text[max(0, start - 1) : start + len(mark) + 1]
    if not "".join(around).strip():
        text[start : start + len(mark)] = mark
