"""Every figure of a report, in the page's order."""

from dataclasses import replace

from analysis.records import Report
from analysis.report.classes import over_prediction, recall_deltas
from analysis.report.drawing import Figure, styled
from analysis.report.foremost import narrowed, noted
from analysis.report.forest import forest
from analysis.report.interactions import interactions
from analysis.report.moreseeds import more_seeds
from analysis.report.seeds import seeds
from analysis.report.variance import variance


def figures_of(report: Report) -> tuple[Figure, ...]:
    """The figures that the report can fill: a report of one arm alone compares nothing.

    Of more arms than a figure can show, the best and the worst.
    """
    few = narrowed(report)
    with styled():
        by_arm = (forest(few), seeds(few), recall_deltas(few), over_prediction(few), variance(few))
        drawn = [figure and replace(figure, caption=noted(figure.caption, report)) for figure in by_arm]
        drawn = [drawn[0], interactions(report), *drawn[1:], more_seeds(report)]
    return tuple(figure for figure in drawn if figure is not None)
