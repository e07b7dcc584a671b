"""The forest plot: every arm's delta with its intervals, against the margin and the run-to-run noise."""

import math

from matplotlib.axes import Axes

from analysis.records import Comparison, Report
from analysis.report.drawing import (
    COLOURS,
    INK,
    MARGIN_BAND,
    NOISE_BAND,
    Figure,
    beside_row,
    interval_lines,
    rows_plot,
    svg_of,
)
from analysis.words import SIGNS, Unit, higher_is_better, interval_title, metric_title, unit_of, verdict_words

_Z = 1.96


def forest(report: Report) -> Figure | None:
    """Deltas, intervals and verdicts, a row an arm; None where nothing is compared."""
    if not report.comparisons:
        return None
    unit = unit_of(report.metric)
    plot = rows_plot([comparison.arm for comparison in report.comparisons], right=1.75)
    _bands(plot.axes, report, unit)
    for row, comparison in enumerate(report.comparisons):
        _interval(plot.axes, row, comparison, unit)
    metric = metric_title(report.metric)
    plot.axes.set_xlabel(f"{metric}, arm minus baseline{unit.of_deltas}")
    alt = f"Forest plot of {metric}, arm minus baseline: {'; '.join(_said(c, unit) for c in report.comparisons)}."
    return Figure(
        name="forest",
        title="How large is each delta, and how sure is it?",
        caption=_caption(report, unit),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def single_run_noise(report: Report) -> float:
    """Half-width of the band that holds 95% of the differences between two single runs of one arm."""
    sd = report.run_sd if report.noise_sd is None else report.noise_sd
    return _Z * math.sqrt(2) * sd


def _bands(axes: Axes, report: Report, unit: Unit) -> None:
    noise, margin = (unit.factor * half for half in (single_run_noise(report), report.margin))
    axes.axvspan(-noise, noise, color=NOISE_BAND, linewidth=0, zorder=0)
    axes.axvspan(-margin, margin, color=MARGIN_BAND, linewidth=0, zorder=1)
    axes.axvline(0, color=INK, linewidth=0.8, zorder=2)


def _interval(axes: Axes, row: int, comparison: Comparison, unit: Unit) -> None:
    f = unit.factor
    alone = (comparison.ci_low * f, comparison.ci_high * f)
    together = (comparison.ci_low_simultaneous * f, comparison.ci_high_simultaneous * f)
    interval_lines(axes, row, comparison.delta * f, alone, together, comparison.verdict)
    words = f"{SIGNS[comparison.verdict]} {verdict_words(comparison)}"
    beside_row(axes, row, unit.delta(comparison.delta), words, COLOURS[comparison.verdict])


def _caption(report: Report, unit: Unit) -> str:
    origin = "assumed" if report.noise_sd is None else "measured"
    better, worse = ("right", "left") if higher_is_better(report.metric) else ("left", "right")
    return (
        f"Thick lines are {interval_title(report.verdicts_level)}s of one arm by itself, thin ones hold for all "
        "arms at once and give the verdict. "
        f"A thin line {better} of zero is a keep; else one that stays {worse} of the inner band's {better} edge, "
        f"the margin of {unit.size(report.margin)}, is a reject. The outer band, "
        f"±{unit.size(single_run_noise(report))}, is where 95% of differences between two single runs of the very "
        f"same configuration fall ({origin} run-to-run noise): a delta inside it, seen once, says nothing."
    )


def _said(comparison: Comparison, unit: Unit) -> str:
    interval = unit.interval(comparison.ci_low_simultaneous, comparison.ci_high_simultaneous)
    return f"{comparison.arm} {unit.said(comparison.delta)} ({interval}), {verdict_words(comparison)}"
