"""Whether confidence can be believed: temperatures, calibration errors and reliability diagrams."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from analysis.findings.calibration import ArmCalibration, ConfidenceBin
from analysis.records import Report
from analysis.report.drawing import ACCENT, MARGIN_BAND, MUTED, RULE, WARM, Figure, Plot, empty_plot, svg_of
from analysis.report.posthoc import shown_arms
from analysis.report.section import Column, Section, Table
from analysis.words import Unit, count, fitted_words, unit_of

_ECE, _NLL = unit_of("ece"), unit_of("nll")
_NEAR = 0.1
"""How far from 1 a mean temperature may lie that changes next to nothing."""
_SMALL = 0.03
"""ECE up to which confidence is taken at its word."""
_FEWEST = 10
"""Predictions in a bin whose accuracy is drawn."""
_SIDE = 2.65
"""Inches of a reliability diagram; the whole is as wide as a phone."""


def calibration_section(report: Report) -> Section | None:
    """Temperatures and errors of every arm, diagrams of the baseline and the kept or best one; None without any."""
    if not report.calibration:
        return None
    by_name = {arm.arm: arm for arm in report.calibration}
    shown = [by_name[name] for name in shown_arms(report) if name in by_name][:2]
    return Section(
        key="calibration",
        title="Can the confidence be believed?",
        said=tuple(_said(arm, report) for arm in shown),
        figures=tuple(_diagram(arm, place) for place, arm in enumerate(shown)),
        tables=(_table(report.calibration),),
        note=(
            "ECE is the mean distance of confidence from accuracy on test images: in 15 bins of equal width, in 15 "
            "of equal numbers of images, and classwise, each class by itself. A temperature T divides "
            "all logits and moves no class past another; it is fitted on each run's val for the least NLL: above 1 "
            "the run was overconfident, below 1 underconfident. Means over seeds."
        ),
    )


def _said(arm: ArmCalibration, report: Report) -> str:
    """`The baseline is calibrated: T 1.03 (0.98 to 1.08 over 10 seeds), ECE 2.2 to 1.8 pt`, with a full stop."""
    who = "The baseline" if arm.arm == report.baseline else arm.arm
    ece, t, after = _points(arm.before.ece), arm.temperature, arm.after
    if t is None or after is None:
        return f"{who} has an ECE of {ece} pt; without val predictions no temperature is fitted."
    over = f"{t.lowest:.2f} to {t.highest:.2f} over {count(arm.n_seeds, 'seed')}" if arm.n_seeds > 1 else "one seed"
    said = f"{who} {_state(t.mean, arm.before.ece)}: T {t.mean:.2f} ({over}), ECE {ece} to {_points(after.ece)} pt"
    worse = after.ece > arm.before.ece
    return f"{said}. What val asks for makes test worse: the two are not alike." if worse else f"{said}."


def _state(temperature: float, ece: float) -> str:
    """What the temperature says of the arm; it is called calibrated only where test agrees."""
    if abs(temperature - 1) > _NEAR:
        return "is overconfident" if temperature > 1 else "is underconfident"
    return "is calibrated" if ece <= _SMALL else "needs next to no temperature"


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


def _table(arms: Sequence[ArmCalibration]) -> Table:
    numbers = ("T, mean (lowest to highest)", "sd of T", "ECE, points", "equal-mass", "classwise", "NLL")
    return Table(
        name="Temperature and calibration errors, as trained → with the temperature",
        columns=(Column(title="arm"), *(Column(title=title, number=True) for title in numbers)),
        rows=tuple(_row(arm) for arm in arms),
    )


def _row(arm: ArmCalibration) -> tuple[str, ...]:
    before, after, t = arm.before, arm.after, arm.temperature
    return (
        arm.arm,
        fitted_words(t) if t else "–",
        f"{t.sd:.3f}" if t and t.sd is not None else "–",
        _pair(_ECE, before.ece, after.ece if after else None),
        _pair(_ECE, before.ece_equal_mass, after.ece_equal_mass if after else None),
        _pair(_ECE, before.ece_classwise, after.ece_classwise if after else None),
        _pair(_NLL, before.nll, after.nll if after else None),
    )


def _pair(unit: Unit, before: float, after: float | None) -> str:
    """`5.23 → 4.17`."""
    return unit.score(before) if after is None else f"{unit.score(before)} → {unit.score(after)}"


def _diagram(arm: ArmCalibration, place: int) -> Figure:
    """Accuracy by confidence, before and after, with how many predictions lie where."""
    top = 0.62 if arm.after else 0.4
    height = top + _SIDE + 0.25 + 0.8 + 0.5
    plot = empty_plot((_SIDE + 0.9, height), left=0.65, right=0.25, top=top, bottom=height - top - _SIDE)
    below = plot.canvas.add_axes((0.65 / (_SIDE + 0.9), 0.5 / height, _SIDE / (_SIDE + 0.9), 0.8 / height))
    _curves(plot, arm)
    _histogram(below, arm)
    alt = f"Reliability diagram of {arm.arm}, all seeds pooled. {_read_out(arm)}"
    return Figure(
        name=f"reliability-{place}",
        title=f"Reliability of {arm.arm}",
        caption=(
            f"{arm.arm}: how often predictions of a confidence are right, the images of "
            f"{count(arm.n_seeds, 'seed')} pooled. On the diagonal confidence is accuracy; below it the model "
            "promises too much, above it too little. "
            f"Bins with fewer than {_FEWEST} predictions have no mark. The lower panel shows how many predictions "
            "have which confidence."
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _curves(plot: Plot, arm: ArmCalibration) -> None:
    axes = plot.axes
    axes.plot((0, 1), (0, 1), color=RULE, linewidth=1, zorder=1)
    _curve(axes, arm.bins_before, colour=WARM, marker="o", style="--", label=f"as trained, {_ece(arm.before.ece)}")
    if arm.after and arm.temperature:
        label = f"with T {arm.temperature.mean:.2f}, {_ece(arm.after.ece)}"
        _curve(axes, arm.bins_after, colour=ACCENT, marker="s", style="-", label=label)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], [])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("accuracy")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), frameon=False, borderaxespad=0.2, handlelength=2.4)


def _ece(value: float) -> str:
    return f"ECE {_points(value)} pt"


def _curve(axes: Axes, bins: Sequence[ConfidenceBin], *, colour: str, marker: str, style: str, label: str) -> None:
    told = [b for b in bins if b.n_images >= _FEWEST]
    axes.plot(
        [b.confidence or 0.0 for b in told],
        [b.accuracy or 0.0 for b in told],
        style,
        marker=marker,
        color=colour,
        markersize=4.5,
        linewidth=1.2,
        label=label,
        zorder=3,
        clip_on=False,
    )


def _histogram(axes: Axes, arm: ArmCalibration) -> None:
    edges = [b.low for b in arm.bins_before] + [1.0]
    axes.stairs(_shares(arm.bins_before), edges, fill=True, color=MARGIN_BAND)
    axes.stairs(_shares(arm.bins_before), edges, color=WARM, linewidth=1, linestyle="--")
    if arm.bins_after:
        axes.stairs(_shares(arm.bins_after), edges, color=ACCENT, linewidth=1)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_yticks([])
    axes.set_xlabel("confidence")
    axes.set_ylabel("predictions", color=MUTED)


def _shares(bins: Sequence[ConfidenceBin]) -> list[float]:
    total = sum(b.n_images for b in bins)
    return [b.n_images / total for b in bins]


def _read_out(arm: ArmCalibration) -> str:
    told = [b for b in arm.bins_before if b.n_images >= _FEWEST]
    points = "; ".join(
        f"confidence {100 * (b.confidence or 0):.0f}%, right {100 * (b.accuracy or 0):.0f}%" for b in told
    )
    scaled = f" ECE {_points(arm.before.ece)} pt as trained"
    return f"As trained: {points}.{scaled}" + (
        f", {_points(arm.after.ece)} pt with a temperature." if arm.after else "."
    )
