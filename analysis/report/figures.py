"""Every figure of a report, in the page's order."""

from analysis.records import Report
from analysis.report.classes import over_prediction, recall_deltas
from analysis.report.drawing import Figure, styled
from analysis.report.forest import forest
from analysis.report.interactions import interactions
from analysis.report.moreseeds import more_seeds
from analysis.report.seeds import seeds
from analysis.report.variance import variance


def figures_of(report: Report) -> tuple[Figure, ...]:
    """The figures that the report can fill: a report of one arm alone compares nothing."""
    with styled():
        drawn = (
            forest(report),
            interactions(report),
            seeds(report),
            recall_deltas(report),
            over_prediction(report),
            variance(report),
            more_seeds(report),
        )
    return tuple(figure for figure in drawn if figure is not None)
