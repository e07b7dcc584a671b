"""Every part of the report that has a module of its own, in the page's order."""

from collections.abc import Callable, Sequence

from analysis.records import Report
from analysis.report.drawing import styled
from analysis.report.section import Section

_SECTIONS: Sequence[Callable[[Report], Section | None]] = ()


def sections_of(report: Report) -> tuple[Section, ...]:
    """The sections that the report can fill."""
    with styled():
        made = [section(report) for section in _SECTIONS]
    return tuple(section for section in made if section is not None)
