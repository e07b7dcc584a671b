"""What abstaining buys: risk-coverage curves with the frozen thresholds on them, and the tiers of every arm."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from analysis.findings.abstain import Abstain, ArmTiers
from analysis.report.drawing import (
    ACCENT,
    INK,
    MARGIN_BAND,
    PAPER,
    WARM,
    WIDTH,
    Figure,
    empty_plot,
    key_above,
    rows_plot,
    svg_of,
)
from analysis.words import count

_LINES: tuple[dict[str, Any], ...] = (
    {"color": WARM, "linestyle": "--", "marker": "s"},
    {"color": ACCENT, "linestyle": "-", "marker": "o"},
)
"""Of the baseline and of the arm beside it: told apart by stroke and marker too."""
_TIERS: dict[str, dict[str, Any]] = {
    "answered": {"facecolor": ACCENT, "edgecolor": ACCENT},
    "three shown": {"facecolor": PAPER, "edgecolor": ACCENT, "hatch": "////"},
    "abstained": {"facecolor": MARGIN_BAND, "edgecolor": ACCENT},
}
"""Full, hatched and pale: told apart without their colour."""
_INKS = {"answered": PAPER, "three shown": INK, "abstained": INK}
_ROOM = 0.07
"""Share of the axis that a percentage needs."""


def coverage_curves(tiers: Abstain, arms: Sequence[ArmTiers]) -> Figure:
    """Error against the share that is answered, of the baseline and of the arm beside it, if there is one."""
    plot = empty_plot((WIDTH, 4.1), left=0.75, right=0.35, top=0.15, bottom=0.5)
    for arm, look in zip(arms, _LINES, strict=False):
        _curve(plot.axes, arm, look)
    _stated(plot.axes, tiers.answer_risk)
    _scales(plot.axes)
    alt = f"Error at each share of answered images. {' '.join(_at_points(arm) for arm in arms)}"
    return Figure(
        name="coverage",
        title="What does abstaining buy?",
        caption=(
            "Each line is the error among the most confident images, as more and more of them are answered; its "
            "band is one standard deviation over seeds. Each mark is where one run's threshold, chosen on val and "
            "frozen, comes to lie on test: marks above the dotted line break the stated error."
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def tier_bars(arms: Sequence[ArmTiers]) -> Figure:
    """A bar an arm: answered, three shown, abstained."""
    plot = rows_plot(["", *(arm.arm for arm in arms)], right=0.35)
    axes = plot.axes
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("share of the test images, mean over seeds")
    key_above(axes, _TIERS)
    for row, arm in enumerate(arms, start=1):
        _bar(axes, row, arm)
    alt = f"Tiers of every arm: {'; '.join(_in_tiers(arm) for arm in arms)}."
    return Figure(
        name="tiers",
        title="How many images does each arm answer?",
        caption=(
            "Full is what an arm answers, hatched where it shows three classes, pale what it leaves to a person. "
            "A longer full part is worth something only where its error keeps to the stated one: the table says."
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _curve(axes: Axes, arm: ArmTiers, look: dict[str, Any]) -> None:
    """The line with its band, and a mark a run where its frozen threshold lies."""
    line = {key: look[key] for key in ("color", "linestyle")}
    coverage, error, sd = (np.asarray(v) for v in (arm.curve.coverage, arm.curve.error, arm.curve.sd))
    axes.fill_between(coverage, np.maximum(error - sd, 0), error + sd, color=look["color"], alpha=0.15, linewidth=0)
    axes.plot(coverage, error, linewidth=1.6, label=arm.arm, **line)
    known = [(run.answered, run.error) for run in arm.runs if run.error is not None]
    if known:
        axes.plot(
            *zip(*known, strict=True), look["marker"], color=look["color"], markersize=5, markeredgecolor=PAPER
        )


def _stated(axes: Axes, risk: float) -> None:
    axes.axhline(risk, color=INK, linewidth=1, linestyle=":", label=f"stated error, {100 * risk:g}%")


def _scales(axes: Axes) -> None:
    axes.set_xlim(0, 1.01)
    axes.set_ylim(bottom=0)
    axes.set_ylim(top=1.25 * axes.get_ylim()[1])  # room for the key
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="y", color=MARGIN_BAND, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("share of the test images that is answered")
    axes.set_ylabel("error among them")
    look: Any = {"facecolor": PAPER, "edgecolor": "none", "framealpha": 1}
    axes.legend(loc="upper left", borderaxespad=0.2, handlelength=2.6, **look)


def _bar(axes: Axes, row: int, arm: ArmTiers) -> None:
    start = 0.0
    for (tier, look), width in zip(_TIERS.items(), _shares(arm), strict=True):
        if width > 0:
            axes.barh(row, width, left=start, height=0.5, linewidth=0.8, **look)
        if width >= _ROOM:
            _percentage(axes, start + width / 2, row, tier, width)
        start += width


def _percentage(axes: Axes, x: float, row: int, tier: str, share: float) -> None:
    paper = {"boxstyle": "round,pad=0.18", "facecolor": PAPER, "edgecolor": "none"}
    axes.text(
        x,
        row,
        f"{100 * share:.0f}%",
        ha="center",
        va="center_baseline",
        fontsize=8,
        color=_INKS[tier],
        bbox=paper if tier == "three shown" else None,
    )


def _shares(arm: ArmTiers) -> Sequence[float]:
    return arm.answer.share.mean, arm.top3.share.mean, arm.abstained


def _in_tiers(arm: ArmTiers) -> str:
    parts = [f"{tier} {100 * share:.0f}%" for tier, share in zip(_TIERS, _shares(arm), strict=True)]
    return f"{arm.arm} {', '.join(parts)}"


def _at_points(arm: ArmTiers) -> str:
    """Where the frozen thresholds lie, in a sentence."""
    if arm.answer.risk is None:
        return f"{arm.arm}: no threshold."
    answered, error = 100 * arm.answer.share.mean, 100 * arm.answer.risk.mean
    return f"{arm.arm}: {answered:.0f}% answered at {error:.1f}% error, mean over {count(len(arm.runs), 'seed')}."
