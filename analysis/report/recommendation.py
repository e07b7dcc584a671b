"""The report's last word: what to ship, to repeat and to drop."""

from analysis.recommendation import recommend
from analysis.records import Report
from analysis.report.section import Section


def recommendation_section(report: Report) -> Section | None:
    """The recommendation in sentences; None where nothing is compared."""
    recommendation = recommend(report)
    if recommendation is None:
        return None
    return Section(key="recommendation", title="What to do", said=recommendation.sentences)
