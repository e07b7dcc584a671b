"""A part of the report that page and Markdown draw alike: sentences, tables, figures."""

from dataclasses import dataclass

from analysis.report.drawing import Figure
from analysis.report.foremost import MOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    title: str
    number: bool = False
    """Its cells are numbers: aligned right, sorted by value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text; the first cell names its row."""

    name: str
    """What it shows, in a few words."""
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    """Cells as they are printed, one a column."""
    folded: bool = False
    """Shown on demand: a table for those who look something up."""

    @property
    def tall(self) -> bool:
        """More rows than are read one after the other: the page scrolls them, Markdown has some of them."""
        return len(self.rows) > MOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of the report."""

    key: str
    """Its anchor in the page."""
    title: str
    said: tuple[str, ...] = ()
    """What it shows, in sentences made from the records' own numbers."""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    note: str = ""
    """How to read it: what the intervals are, what was chosen where."""
