"""At how many wrong labels each verdict would turn: sentences, a figure, tables."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.findings.labels import ArmUnderNoise, ErrorModel, LabelNoise, Turning
from analysis.records import Report
from analysis.report.drawing import ACCENT, MUTED, NOISE_BAND, RULE, WARM, Figure, beside_row, rows_plot, svg_of
from analysis.report.foremost import noted, shown
from analysis.report.section import Column, Section, Table
from analysis.words import SIGNS, listed

TITLE = "How many wrong labels would turn a verdict?"
_IF: dict[ErrorModel, str] = {"confusions": "follow the confusions", "uniform": "are uniform"}
_LOOKS: dict[ErrorModel, dict[str, Any]] = {
    "confusions": {"color": ACCENT, "linestyle": "-", "linewidth": 1.8},
    "uniform": {"color": WARM, "linestyle": (0, (4, 2)), "linewidth": 1.4},
}
"""Whole and broken: told apart without their colour."""
_HIGH = 0.62
"""Rows between no draw and all draws."""
_SEEN = (7, 16)
"""Percent of test labels that are wrong in dermatological test sets."""


def label_noise_section(report: Report) -> Section | None:
    """What wrong labels would do to each verdict; None where nothing was asked of them."""
    found = report.label_noise
    if found is None:
        return None
    if found.not_offered:
        return Section(key="label-noise", title=TITLE, said=(_capital(f"{found.not_offered}."),))
    return Section(
        key="label-noise",
        title=TITLE,
        said=tuple(_said(found, report)),
        figures=(_figure(replace(found, arms=tuple(shown(found.arms, report)))),),
        tables=(_rates_table(found), _shares_table(found)),
        note=noted(_note(found), report),
    )


def _said(found: LabelNoise, report: Report) -> list[str]:
    """The arms that hold in one sentence, each to show that turns in one of its own."""
    most = _percent(found.rates[-1])
    hold = [arm for arm in found.arms if not _turns(arm)]
    lines = [f"{SIGNS[arm.verdict]} {_turn(arm, most)}" for arm in shown(found.arms, report) if _turns(arm)]
    if hold:
        named = f"The verdict on {listed([arm.arm for arm in hold], at_most=4)}"
        whose = "Every verdict" if len(hold) == len(found.arms) else named
        lines.insert(0, f"{whose} holds in at least half of the draws up to {most} wrong labels, of either kind.")
    return lines


def _turns(arm: ArmUnderNoise) -> bool:
    return any(turning.rate is not None for turning in arm.turnings)


def _turn(arm: ArmUnderNoise, most: str) -> str:
    """`focal_gamma=2: keep would turn to inconclusive at 14% wrong labels if errors …, not up to 20% if they …`."""
    first, *others = sorted(arm.turnings, key=lambda turning: (turning.rate is None, turning.rate))
    way = f"{_way(first, most)} wrong labels if errors {_IF[first.model]}"
    ways = [f"{_way(other, most)} if they {_IF[other.model]}" for other in others]
    return f"{arm.arm}: {arm.verdict} would turn {', '.join([way, *ways])}."


def _way(turning: Turning, most: str) -> str:
    return f"not up to {most}" if turning.rate is None else f"to {turning.into} at {_percent(turning.rate)}"


def _figure(found: LabelNoise) -> Figure:
    """The share of draws with the verdict unchanged, a row an arm and a line a model."""
    plot = rows_plot(["", *(arm.arm for arm in found.arms)], right=1.85)
    plot.axes.set_xlim(0, 100 * found.rates[-1] + 0.3)
    plot.axes.axvspan(*_SEEN, color=NOISE_BAND, linewidth=0, zorder=0)
    _key(plot.axes)
    for row, arm in enumerate(found.arms, start=1):
        _row(plot.axes, row, arm, found.rates)
    plot.axes.set_xticks([0, *(100 * rate for rate in found.rates)])
    plot.axes.set_xlabel("wrong labels, % of the test set")
    alt = f"Share of draws in which each verdict stays, by the share of wrong labels: {_heard(found)}."
    return Figure(
        name="label-noise",
        title=TITLE,
        caption=(
            "In each row the upper rule is all draws with the verdict unchanged, the lower one none: a line that "
            "falls below the middle, the dotted rule, belongs to a verdict that so many wrong labels would turn. "
            "Whole lines are errors that follow the arms' confusions, broken ones uniform errors. The band, 7 to "
            "16%, is what dermatological test sets are reported to have."
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _key(axes: Axes) -> None:
    handles = [Line2D([], [], label=model, **look) for model, look in _LOOKS.items()]
    axes.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(0, 0),
        bbox_transform=axes.transData,
        ncols=2,
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        handlelength=2.4,
    )
    place: Any = {"transform": axes.get_yaxis_transform(), "va": "center"}
    axes.text(1.03, 0, "half of draws turn it at", color=MUTED, fontsize=9, **place)


def _row(axes: Axes, row: int, arm: ArmUnderNoise, rates: Sequence[float]) -> None:
    end = axes.get_xlim()[1]
    for height, style in ((0.0, "-"), (0.5, ":"), (1.0, "-")):
        axes.plot((0, end), [_y(row, height)] * 2, color=RULE, linewidth=0.8, linestyle=style, zorder=1)
    for turning in arm.turnings:
        shares = [_y(row, share) for share in (1.0, *turning.unchanged)]
        axes.plot([0, *(100 * rate for rate in rates)], shares, zorder=3, **_LOOKS[turning.model])
    confusions, uniform = (_rate(turning, rates) for turning in arm.turnings)
    beside_row(axes, row, f"confusions: {confusions}", f"uniform: {uniform}")


def _y(row: int, share: float) -> float:
    return row + _HIGH * (0.5 - share)


def _heard(found: LabelNoise) -> str:
    return "; ".join(
        f"{arm.arm}, {arm.verdict}, "
        + ", ".join(f"half turn at {_rate(t, found.rates)} ({t.model} errors)" for t in arm.turnings)
        for arm in found.arms
    )


def _rates_table(found: LabelNoise) -> Table:
    """Where half of the draws turn each verdict, and into what."""
    return Table(
        name="Share of wrong labels at which half of the draws turn the verdict",
        columns=(
            Column(title="arm"),
            Column(title="verdict"),
            *(
                Column(title=title, number=number)
                for model in _LOOKS
                for title, number in ((model, True), ("into", False))
            ),
        ),
        rows=tuple(
            (
                arm.arm,
                f"{SIGNS[arm.verdict]} {arm.verdict}",
                *(cell for t in arm.turnings for cell in (_rate(t, found.rates), _into(t))),
            )
            for arm in found.arms
        ),
    )


def _shares_table(found: LabelNoise) -> Table:
    return Table(
        name="Share of draws with the verdict unchanged, by the share of wrong labels",
        columns=(
            Column(title="arm"),
            Column(title="errors"),
            *(Column(title=_percent(rate), number=True) for rate in found.rates),
        ),
        rows=tuple(
            (arm.arm, turning.model, *map(_percent, turning.unchanged))
            for arm in found.arms
            for turning in arm.turnings
        ),
        folded=True,
    )


def _note(found: LabelNoise) -> str:
    shared = " Images of one group share their error." if found.by_group else ""
    return (
        f"Each share is of {found.n_draws} draws of true labels. So many labels are wrong, alike in every class; "
        "the true class is any other one (uniform), or class j for an image labelled k as often as the runs of all "
        f"arms call such images a j (confusions).{shared} All arms are scored on the drawn labels, and the "
        "interval's half-widths follow the classes' new sizes. This tells whether errors that know nothing of the "
        "arms could turn a verdict. It cannot tell which labels are wrong. A drawn error does not look at the "
        "image: it pulls scores and deltas towards nought, where true labels often raise them. And errors that an "
        "arm has learned in training can turn a verdict sooner. That takes corrected labels: --labels FILE."
    )


def _rate(turning: Turning, rates: Sequence[float]) -> str:
    return f"> {_percent(rates[-1])}" if turning.rate is None else _percent(turning.rate)


def _into(turning: Turning) -> str:
    return "–" if turning.rate is None or turning.into is None else f"{SIGNS[turning.into]} {turning.into}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
