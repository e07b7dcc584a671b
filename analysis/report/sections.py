"""Every part of the report that has a module of its own, in the page's order."""

from collections.abc import Callable, Sequence

from analysis.records import Report
from analysis.report.abstain import abstain_section
from analysis.report.calibration import calibration_section
from analysis.report.confirmation import confirmation_section
from analysis.report.drawing import styled
from analysis.report.labelnoise import label_noise_section
from analysis.report.labels import labels_section
from analysis.report.posthoc import posthoc_section
from analysis.report.recommendation import recommendation_section
from analysis.report.repeats import repeats_section
from analysis.report.search import search_section
from analysis.report.section import Section
from analysis.report.tail import tail_section

_SECTIONS: Sequence[Callable[[Report], Section | None]] = (
    repeats_section,
    confirmation_section,
    search_section,
    tail_section,
    posthoc_section,
    calibration_section,
    label_noise_section,
    labels_section,
    abstain_section,
    recommendation_section,
)


def sections_of(report: Report) -> tuple[Section, ...]:
    """The sections that the report can fill."""
    with styled():
        made = [section(report) for section in _SECTIONS]
    return tuple(section for section in made if section is not None)
