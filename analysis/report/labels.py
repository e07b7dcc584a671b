"""The report under corrected labels beside the one under the labels as given: sentences, intervals, tables."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from analysis.findings.labels import Rejudged, Relabelled, UnderLabels
from analysis.records import Report
from analysis.report.drawing import (
    COLOURS,
    INK,
    MARGIN_BAND,
    MARKERS,
    MUTED,
    PAPER,
    Figure,
    beside_row,
    rows_plot,
    svg_of,
)
from analysis.report.foremost import MOST, noted, shown
from analysis.report.section import Column, Section, Table
from analysis.words import SIGNS, Unit, count, listed, metric_title, unit_of

TITLE = "What do the corrected labels change?"
_APART = 0.17
"""Rows between a row's middle and each of its two intervals."""
_MOST_PAIRS = 20
"""Pairs of classes that a table lists."""


def labels_section(report: Report) -> Section | None:
    """What the corrected labels changed, arm by arm; None where no label was corrected."""
    found = report.relabelled
    if found is None:
        return None
    return Section(
        key="labels",
        title=TITLE,
        said=(_changed(found, report), *_verdicts(found)),
        figures=(_figure(shown(found.arms, report), report),) if found.arms else (),
        tables=tuple(_tables(found, unit_of(report.metric))),
        note=noted(
            "The whole report is the one under the corrected labels; the labels as given appear here alone. What "
            "was chosen on val was chosen by the labels that val has. Where several classes share an image's "
            "largest weight, its label is the one as given if that is among them, else the first in their order.",
            report,
        ),
    )


def _changed(found: Relabelled, report: Report) -> str:
    file = found.file
    most = [f"{move.given} to {move.corrected} ({move.n_images:,})" for move in found.moves]
    parts = [f"{file.source} changes {found.n_changed:,} of {count(report.n_images, 'test image')}"]
    parts += [f"most often {listed(most)}"] if most else []
    counts = {
        "not named, their label kept": file.n_kept,
        "tied": file.n_tied,
        "no class above half of the weight": file.n_unsure,
    }
    parts += [f"{what}: {count(n, 'image')}" for what, n in counts.items() if n]
    return f"{'; '.join(parts)}."


def _verdicts(found: Relabelled) -> list[str]:
    """A sentence an arm whose verdict or its label turned; where none did, of the arm whose delta moved most."""
    if not found.arms:
        return ["No verdict can be set beside one by the labels as given."]
    changed = sorted((arm for arm in found.arms if arm.changed), key=lambda arm: not arm.turned)
    most = max(found.arms, key=lambda arm: abs(arm.corrected.delta - arm.given.delta))
    lines = [f"{SIGNS[arm.corrected.verdict]} {arm.sentence}" for arm in changed[:MOST]]
    lines = lines or [f"The delta that moved most: {most.sentence}"]
    return lines if any(arm.turned for arm in changed) else ["No verdict turns.", *lines]


def _figure(arms: Sequence[Rejudged], report: Report) -> Figure:
    """Both intervals of each arm, one above the other."""
    unit = unit_of(report.metric)
    plot = rows_plot([arm.arm for arm in arms], right=1.75)
    plot.axes.axvspan(-report.margin * unit.factor, report.margin * unit.factor, color=MARGIN_BAND, linewidth=0)
    plot.axes.axvline(0, color=INK, linewidth=0.8)
    for row, arm in enumerate(arms):
        _interval(plot.axes, row - _APART, arm.given, unit, given=True)
        _interval(plot.axes, row + _APART, arm.corrected, unit, given=False)
        beside_row(plot.axes, row, unit.delta(arm.corrected.delta), _turn(arm), COLOURS[arm.corrected.verdict])
    metric = metric_title(report.metric)
    plot.axes.set_xlabel(f"{metric}, arm minus baseline{unit.of_deltas}")
    said = "; ".join(f"{arm.arm} {_under(arm.given, unit)}, then {_under(arm.corrected, unit)}" for arm in arms)
    alt = f"Deltas of {metric} by the labels as given and by the corrected ones: {said}."
    return Figure(
        name="labels-intervals",
        title=TITLE,
        caption=(
            "Of each arm the upper line, with the hollow mark, is the interval by the labels as given, the lower "
            "one that by the corrected labels; both hold for all arms at once and give the verdict. The band is "
            f"the margin of {unit.size(report.margin)}."
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _interval(axes: Axes, y: float, judged: UnderLabels, unit: Unit, *, given: bool) -> None:
    colour = MUTED if given else COLOURS[judged.verdict]
    look: Any = (
        {"markerfacecolor": PAPER, "markersize": 5} if given else {"markersize": 6, "markeredgecolor": PAPER}
    )
    ends = (judged.ci_low * unit.factor, judged.ci_high * unit.factor)
    axes.plot(ends, (y, y), color=colour, linewidth=1.1 if given else 2.2, solid_capstyle="butt")
    axes.plot(judged.delta * unit.factor, y, MARKERS[judged.verdict], color=colour, **look)


def _turn(arm: Rejudged) -> str:
    """`✓ keep`, with what it was where it turned."""
    now = f"{SIGNS[arm.corrected.verdict]} {arm.corrected.verdict}"
    return f"{now}, was {SIGNS[arm.given.verdict]}" if arm.turned else now


def _under(judged: UnderLabels, unit: Unit) -> str:
    return f"{unit.said(judged.delta)} ({unit.interval(judged.ci_low, judged.ci_high)}) {judged.verdict}"


def _tables(found: Relabelled, unit: Unit) -> list[Table]:
    tables = [
        Table(
            name="Classes by both sets of labels",
            columns=_columns("class", "images as given", "images corrected", "change"),
            rows=tuple(
                (of.name, f"{of.given:,}", f"{of.corrected:,}", f"{of.corrected - of.given:+,}".replace("-", "−"))
                for of in found.classes
            ),
            folded=True,
        ),
        Table(
            name="Which labels became which"
            + (f": the {_MOST_PAIRS} most frequent of {len(found.moves)} pairs" * (len(found.moves) > _MOST_PAIRS)),
            columns=(Column(title="as given"), Column(title="corrected"), Column(title="images", number=True)),
            rows=tuple((m.given, m.corrected, f"{m.n_images:,}") for m in found.moves[:_MOST_PAIRS]),
            folded=True,
        ),
    ]
    return [_verdict_table(found, unit), *tables] if found.arms else tables


def _verdict_table(found: Relabelled, unit: Unit) -> Table:
    """Delta, interval and verdict of each arm, twice."""
    titles = ("delta", "interval", "verdict")
    return Table(
        name="Verdicts by both sets of labels",
        columns=(
            Column(title="arm"),
            *(
                Column(title=f"{title}, {which}", number=title != "verdict")
                for which in ("as given", "corrected")
                for title in titles
            ),
        ),
        rows=tuple((arm.arm, *_cells(arm.given, unit), *_cells(arm.corrected, unit)) for arm in found.arms),
    )


def _cells(judged: UnderLabels, unit: Unit) -> tuple[str, str, str]:
    said = ", ".join(filter(None, (judged.verdict, judged.label)))
    return (
        unit.delta(judged.delta),
        unit.interval(judged.ci_low, judged.ci_high),
        f"{SIGNS[judged.verdict]} {said}",
    )


def _columns(name: str, *numbers: str) -> tuple[Column, ...]:
    return (Column(title=name), *(Column(title=title, number=True) for title in numbers))
