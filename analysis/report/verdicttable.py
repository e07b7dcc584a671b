"""The verdict table as the page has it: a row an arm, every cell as it is printed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from analysis.records import ArmSummary, Comparison, Report
from analysis.report.answer import scope
from analysis.report.chance import legend, misled_words
from analysis.report.foremost import MOST
from analysis.words import SIGNS, Unit, chance_of, interval_title, metric_title, pvalue, unit_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One arm in the verdict table."""

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
    said: str
    """Sign and verdict: colour never carries it alone."""
    label: str
    reason: str
    """The verdict's sign and why; empty for the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictTable:
    """Rows, heads and what is said below them."""

    title: str
    compared: bool
    """There is more than one arm, and so a delta."""
    metric: str
    symbol: str
    """What follows a difference; empty where the metric has no unit."""
    interval: str
    """The intervals' title."""
    rows: tuple[Row, ...]
    """Of all arms."""
    many: bool
    """More than are read one after the other: the table has a height of its own, and the reasons are folded."""
    notes: tuple[str, ...]
    """What the figures rest on, and what the columns of chance mean."""


def verdict_table(report: Report) -> VerdictTable:
    """Every arm of the report, the baseline first."""
    compared = bool(report.comparisons)
    return VerdictTable(
        title="Verdicts" if compared else "Runs",
        compared=compared,
        metric=metric_title(report.metric),
        symbol=unit_of(report.metric).symbol.strip(),
        interval=interval_title(report.verdicts_level),
        rows=tuple(_rows(report)),
        many=len(report.arms) > MOST,
        notes=tuple(filter(None, (scope(report), legend(report)))),
    )


def _rows(report: Report) -> Iterator[Row]:
    compared = {comparison.arm: comparison for comparison in report.comparisons}
    unit = unit_of(report.metric)
    for arm in report.arms:
        alone = _alone(arm, unit)
        yield _compared(alone, report, compared[arm.arm], unit) if arm.arm in compared else alone


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
        said="baseline",
        label="",
        reason="",
    )


def _compared(alone: Row, report: Report, comparison: Comparison, unit: Unit) -> Row:
    return replace(
        alone,
        delta=unit.delta(comparison.delta),
        interval=unit.interval(comparison.ci_low_simultaneous, comparison.ci_high_simultaneous),
        p_adjusted=pvalue(comparison.p_adjusted),
        p_holm=pvalue(comparison.p_holm),
        better=chance_of(comparison.probability_better),
        misled=misled_words(report, comparison),
        verdict=comparison.verdict,
        said=f"{SIGNS[comparison.verdict]} {comparison.verdict}",
        label=comparison.label,
        reason=comparison.reason,
    )
