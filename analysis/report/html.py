"""The report as one self-contained page: the answer, the verdicts, the figures, how it was made."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.records import ArmSummary, Comparison, Report
from analysis.report.answer import answer, scope
from analysis.report.chance import TITLE, chance, legend, misled_words
from analysis.report.drawing import Figure
from analysis.report.effects import section_of
from analysis.report.provenance import provenance_rows
from analysis.report.remarks import remarks
from analysis.report.section import Section
from analysis.words import SIGNS, Unit, chance_of, interval_title, metric_title, pvalue, unit_of


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
    p_holm: str
    better: str
    """Chance that one new run beats one of the baseline."""
    misled: str
    """In how many seed pairs single runs mislead."""
    verdict: str
    """The verdict's word for the style sheet; `baseline` for the baseline."""
    sign: str
    """The verdict's sign, so that colour never carries it alone."""
    said: str
    """Sign and verdict."""
    label: str
    reason: str


def render_html(report: Report, figures: Sequence[Figure], sections: Sequence[Section] = ()) -> str:
    """The page as text: no network, no script, no clock; the same report gives the same bytes."""
    environment = Environment(
        loader=PackageLoader("analysis.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2").render(
        report=report,
        answer=answer(report),
        scope=scope(report),
        legend=legend(report),
        metric=metric_title(report.metric),
        interval=interval_title(report.level),
        unit=unit_of(report.metric),
        rows=_rows(report),
        effects=section_of(report),
        chance_title=TITLE,
        chance=chance(report),
        figures=figures,
        sections=sections,
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
    baseline, *others = report.arms
    return [_alone(baseline, unit), *(_compared(report, arm, compared[arm.arm], unit) for arm in others)]


def _alone(arm: ArmSummary, unit: Unit) -> Row:
    return Row(
        name=arm.arm,
        n_seeds=arm.n_seeds,
        mean=unit.score(arm.mean),
        sd="–" if arm.sd is None else unit.score(arm.sd),
        delta="",
        interval="",
        p_adjusted="",
        p_holm="",
        better="",
        misled="",
        verdict="baseline",
        sign="",
        said="baseline",
        label="",
        reason="",
    )


def _compared(report: Report, arm: ArmSummary, comparison: Comparison, unit: Unit) -> Row:
    return replace(
        _alone(arm, unit),
        delta=unit.delta(comparison.delta),
        interval=unit.interval(comparison.ci_low_simultaneous, comparison.ci_high_simultaneous),
        p_adjusted=pvalue(comparison.p_adjusted),
        p_holm=pvalue(comparison.p_holm),
        better=chance_of(comparison.probability_better),
        misled=misled_words(report, comparison),
        verdict=comparison.verdict,
        sign=SIGNS[comparison.verdict],
        said=f"{SIGNS[comparison.verdict]} {comparison.verdict}",
        label=comparison.label,
        reason=comparison.reason,
    )
