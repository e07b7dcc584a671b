"""Seeds as dots: how far the runs of one arm lie apart, beside how far the arms do."""

from matplotlib.axes import Axes

from analysis.records import ArmSummary, Report
from analysis.report.chance import sd_words
from analysis.report.drawing import ACCENT, INK, NOISE_BAND, Figure, beside_row, rows_plot, svg_of
from analysis.words import Unit, metric_title, unit_of


def seeds(report: Report) -> Figure:
    """Every run's score, a row an arm."""
    unit = unit_of(report.metric)
    plot = rows_plot([arm.arm for arm in report.arms], right=1.35)
    _baseline_band(plot.axes, report, unit)
    for row, arm in enumerate(report.arms):
        _runs(plot.axes, row, arm, unit)
    metric = metric_title(report.metric)
    plot.axes.set_xlabel(f"{metric}{unit.symbol and ', %'}")
    alt = f"{metric} of each run: {'; '.join(_said(arm, unit) for arm in report.arms)}."
    return Figure(
        name="seeds",
        title="How far do runs of the same arm lie apart?",
        caption=(
            "Each ring is one training run, each bar its arm's mean. The vertical line is the baseline's mean, "
            f"the band around it one run-to-run standard deviation either way, {_sd(report, unit)}. "
            "Where the rings of two arms overlap, a comparison of single runs is a draw of lots."
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _noise(report: Report) -> float:
    return report.run_sd if report.noise_sd is None else report.noise_sd


def _sd(report: Report, unit: Unit) -> str:
    return sd_words(report.noise, unit) if report.noise else f"{unit.size(report.run_sd)} (assumed)"


def _baseline_band(axes: Axes, report: Report, unit: Unit) -> None:
    mean, sd = report.arms[0].mean * unit.factor, _noise(report) * unit.factor
    axes.axvspan(mean - sd, mean + sd, color=NOISE_BAND, linewidth=0, zorder=0)
    axes.axvline(mean, color=INK, linewidth=0.8, zorder=1)


def _runs(axes: Axes, row: int, arm: ArmSummary, unit: Unit) -> None:
    scores = [score * unit.factor for score in arm.seed_scores]
    axes.plot(
        scores, [row] * len(scores), "o", markersize=6, markerfacecolor="none", markeredgecolor=ACCENT, zorder=3
    )
    mean = arm.mean * unit.factor
    axes.plot((mean, mean), (row - 0.26, row + 0.26), color=INK, linewidth=2.2, solid_capstyle="butt", zorder=4)
    beside_row(axes, row, unit.score(arm.mean), "one run" if arm.sd is None else f"sd {unit.score(arm.sd)}")


def _said(arm: ArmSummary, unit: Unit) -> str:
    scores = ", ".join(unit.score(score) for score in arm.seed_scores)
    return f"{arm.arm} mean {unit.score(arm.mean)} (runs {scores})"
