"""The report as one self-contained page: the answer, the verdicts, the figures, how it was made."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.records import ArmSummary, Comparison, Report
from analysis.report.answer import answer, scope
from analysis.report.drawing import Figure
from analysis.report.provenance import provenance_rows
from analysis.report.remarks import remarks
from analysis.words import (
    SIGNS,
    Unit,
    metric_title,
    pvalue,
    unit_of,
    verdict_words,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One arm in the verdict table, every cell as it is printed."""

    name: str
    n_seeds: int
    mean: str
    sd: str
    delta: str
    interval: str
    p_adjusted: str
    verdict: str
    """The verdict's word for the style sheet; `baseline` for the baseline."""
    sign: str
    """The verdict's sign, so that colour never carries it alone."""
    said: str
    """Sign, verdict and label."""
    reason: str


def render_html(report: Report, figures: Sequence[Figure]) -> str:
    """The page as text: no network, no script, no clock; the same report gives the same bytes."""
    environment = Environment(
        loader=PackageLoader("analysis.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2").render(
        report=report,
        answer=answer(report),
        scope=scope(report),
        metric=metric_title(report.metric),
        unit=unit_of(report.metric),
        rows=_rows(report),
        figures=figures,
        remarks=remarks(report),
        provenance=provenance_rows(report.provenance),
        inline=lambda figure: Markup(figure.inline()),
        breakable=_breakable,
    )


def _breakable(text: str) -> Markup:
    """The text, in which an arm's name may break before each further lever; a signed number may not."""
    return Markup("<wbr>").join(re.split(r"(?<=\w)(?=\+)", text))


def _rows(report: Report) -> list[Row]:
    compared = {comparison.arm: comparison for comparison in report.comparisons}
    unit = unit_of(report.metric)
    return [_row(arm, compared.get(arm.arm), unit) for arm in report.arms]


def _row(arm: ArmSummary, comparison: Comparison | None, unit: Unit) -> Row:
    alone = Row(
        name=arm.arm,
        n_seeds=arm.n_seeds,
        mean=unit.score(arm.mean),
        sd="–" if arm.sd is None else unit.score(arm.sd),
        delta="",
        interval="",
        p_adjusted="",
        verdict="baseline",
        sign="",
        said="baseline",
        reason="",
    )
    if comparison is None:
        return alone
    return replace(
        alone,
        delta=unit.delta(comparison.delta),
        interval=unit.interval(comparison.ci_low_simultaneous, comparison.ci_high_simultaneous),
        p_adjusted=pvalue(comparison.p_adjusted),
        verdict=comparison.verdict,
        sign=SIGNS[comparison.verdict],
        said=f"{SIGNS[comparison.verdict]} {verdict_words(comparison)}",
        reason=comparison.reason,
    )
