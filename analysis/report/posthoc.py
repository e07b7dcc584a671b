"""Arms that are made after training, each against the same checkpoints without its treatment."""

from collections.abc import Sequence

from analysis.findings.posthoc import Change, TreatedArm
from analysis.records import Report
from analysis.report.drawing import (
    COLOURS,
    INK,
    MARGIN_BAND,
    Figure,
    beside_row,
    interval_lines,
    rows_plot,
    svg_of,
)
from analysis.report.section import Column, Section, Table
from analysis.words import (
    SIGNS,
    count,
    fitted_words,
    higher_is_better,
    interval_title,
    listed,
    metric_title,
    pvalue,
    unit_of,
)

_ECE, _NLL = unit_of("ece"), unit_of("nll")
_MOST_KEPT = 24
"""Kept arms whose treatments are shown one by one: each has several."""


def posthoc_section(report: Report) -> Section | None:
    """What treatments do to the baseline and to the arms that were kept, the others folded; None without any."""
    if not report.posthoc:
        return None
    named = shown_arms(report)
    shown = [row for row in report.posthoc if row.arm in named]
    others = [row for row in report.posthoc if row.arm not in named]
    figures = [forest] if (forest := _forest(report, shown)) else []
    return Section(
        key="after-training",
        title="What can be had after training, from the same checkpoints?",
        said=tuple(_said(report)),
        figures=tuple(figures),
        tables=(
            _scores(report, f"Score: {listed(named)}", shown),
            _calibration(f"Calibration: {listed(named)}", shown),
            *_folded(report, others),
        ),
        note=_note(report),
    )


def shown_arms(report: Report) -> tuple[str, ...]:
    """The baseline and the arms with verdict keep, of very many the best; the best arm where none is kept."""
    sign = 1 if higher_is_better(report.metric) else -1
    best = sorted(report.comparisons, key=lambda c: -sign * c.delta)
    kept = [c for c in report.comparisons if c.verdict == "keep"]
    if len(kept) > _MOST_KEPT:
        kept = [c for c in best if c.verdict == "keep"][:_MOST_KEPT]
    return (report.baseline, *(c.arm for c in kept or best[:1]))


def _said(report: Report) -> list[str]:
    """What each treatment does to the baseline, and what the mirrored image costs."""
    of_baseline = [row for row in report.posthoc if row.arm == report.baseline]
    judged = [f"{row.name}: {_verdict(row)}. {row.reason}" for row in _distinct(of_baseline) if row.verdict]
    calibrating = [_calibrating(row) for row in of_baseline if not row.verdict]
    mirrored = any(row.forward_passes > 1 for row in report.posthoc)
    cost = ["hflip asks the network twice an image: two forward passes, twice the inference time."]
    return [*judged, *calibrating, *(cost if mirrored else [])]


def _distinct(rows: Sequence[TreatedArm]) -> list[TreatedArm]:
    """The rows without those that do to an arm's score what a simpler one does."""
    first = {(row.arm, row.primary, row.ci_low_simultaneous): row for row in reversed(rows)}
    return [row for row in rows if first[row.arm, row.primary, row.ci_low_simultaneous] is row]


def _calibrating(row: TreatedArm) -> str:
    ends = _ECE.interval(row.ece.ci_low, row.ece.ci_high)
    return (
        f"{row.name} changes no prediction, its delta is exactly 0. It moves ECE from {_ECE.score(row.ece.before)} "
        f"to {_ECE.score(row.ece.after)} pt ({ends}) and NLL from {_NLL.score(row.nll_before)} to "
        f"{_NLL.score(row.nll_after)}."
    )


def _verdict(row: TreatedArm) -> str:
    """`✓ keep, at a cost`."""
    if row.verdict is None:
        return "changes no prediction"
    return ", ".join(filter(None, (f"{SIGNS[row.verdict]} {row.verdict}", row.label)))


def _scores(report: Report, name: str, rows: Sequence[TreatedArm], *, folded: bool = False) -> Table:
    unit, level = unit_of(report.metric), interval_title(report.level)
    guards = [Column(title=f"{metric_title(guard.metric)}, delta", number=True) for guard in rows[0].guards]
    return Table(
        name=name,
        columns=(
            Column(title="arm and treatment"),
            Column(title=f"{metric_title(report.metric)} before", number=True),
            Column(title="after", number=True),
            Column(title="delta", number=True),
            Column(title=f"{level}, all rows at once", number=True),
            Column(title="p adj.", number=True),
            Column(title="verdict"),
            *guards,
            Column(title="top-3, delta", number=True),
            Column(title="forward passes", number=True),
        ),
        rows=tuple(
            (
                row.name,
                unit.score(row.primary.before),
                unit.score(row.primary.after),
                unit.delta(row.primary.delta),
                unit.interval(row.ci_low_simultaneous, row.ci_high_simultaneous) if row.verdict else "–",
                pvalue(row.p_adjusted) if row.verdict else "–",
                _verdict(row),
                *(_moved(guard) for guard in row.guards),
                _moved(row.top3),
                str(row.forward_passes),
            )
            for row in rows
        ),
        folded=folded,
    )


def _moved(change: Change) -> str:
    """`−0.12 (−0.40 to +0.16)`."""
    unit = unit_of(change.metric)
    if not change.delta and change.ci_low == change.ci_high:
        return unit.delta(0)
    return f"{unit.delta(change.delta)} ({unit.interval(change.ci_low, change.ci_high)})"


def _calibration(name: str, rows: Sequence[TreatedArm], *, folded: bool = False) -> Table:
    return Table(
        name=name,
        columns=(
            Column(title="arm and treatment"),
            Column(title="T or tau, chosen on val", number=True),
            Column(title="ECE before, points", number=True),
            Column(title="after", number=True),
            Column(title="delta", number=True),
            Column(title="its interval", number=True),
            Column(title="NLL before", number=True),
            Column(title="after", number=True),
        ),
        rows=tuple(
            (
                row.name,
                _fitted(row),
                _ECE.score(row.ece.before),
                _ECE.score(row.ece.after),
                _ECE.delta(row.ece.delta),
                _ECE.interval(row.ece.ci_low, row.ece.ci_high),
                _NLL.score(row.nll_before),
                _NLL.score(row.nll_after),
            )
            for row in rows
        ),
        folded=folded,
    )


def _fitted(row: TreatedArm) -> str:
    """`1.05 (0.98 to 1.12)`, or a dash where nothing is chosen."""
    return fitted_words(row.fitted) if row.fitted else "–"


def _folded(report: Report, rows: Sequence[TreatedArm]) -> tuple[Table, ...]:
    if not rows:
        return ()
    return (
        _scores(report, "Score: all other arms", rows, folded=True),
        _calibration("Calibration: all other arms", rows, folded=True),
    )


def _forest(report: Report, rows: Sequence[TreatedArm]) -> Figure | None:
    """What treatments do to the score, a row each; None where none moves it."""
    judged = [row for row in _distinct(rows) if row.verdict]
    if not judged:
        return None
    unit, metric = unit_of(report.metric), metric_title(report.metric)
    plot = rows_plot([row.name for row in judged], right=1.75)
    axes, f = plot.axes, unit.factor
    axes.axvspan(-report.margin * f, report.margin * f, color=MARGIN_BAND, linewidth=0, zorder=1)
    axes.axvline(0, color=INK, linewidth=0.8, zorder=2)
    for place, row in enumerate(judged):
        verdict, change = row.verdict or "inconclusive", row.primary
        alone = (change.ci_low * f, change.ci_high * f)
        together = (row.ci_low_simultaneous * f, row.ci_high_simultaneous * f)
        interval_lines(axes, place, change.delta * f, alone, together, verdict)
        beside_row(axes, place, unit.delta(change.delta), _verdict(row), COLOURS[verdict])
    axes.set_xlabel(f"{metric}, treated minus as trained{unit.of_deltas}")
    told = (
        f"{row.name} {unit.said(row.primary.delta)} "
        f"({unit.interval(row.ci_low_simultaneous, row.ci_high_simultaneous)}), {_verdict(row)}"
        for row in judged
    )
    alt = f"Deltas of {metric} after training, treated minus as trained: {'; '.join(told)}."
    return Figure(
        name="after-training-deltas",
        title="What does each treatment change, on the same checkpoints?",
        caption=(
            f"Thick lines are {interval_title(report.level)}s of one row by itself, thin ones hold for all "
            f"{len(report.posthoc)} rows at once and give the verdict. The band is the margin of "
            f"{unit.size(report.margin)}. A row is the same checkpoints with and without the treatment, so that "
            "run-to-run noise of training is in none of them."
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _note(report: Report) -> str:
    """What a delta is, what its interval holds for, and what is not in it."""
    parts = [
        "A delta is the mean over seeds of a treated run minus the same run as trained. The intervals of the "
        f"score hold for all {count(len(report.posthoc), 'row')} at once, the others for their row alone. "
        "Temperature and tau were chosen on each run's val and frozen; what another val would have chosen is not "
        "in the intervals."
    ]
    if max(arm.n_seeds for arm in report.arms) == 1:
        parts.append("No arm has a second run: the intervals speak for these checkpoints on new images.")
    if own := [row.name for row in report.posthoc if row.own_noise]:
        parts.append(
            "More from seed to seed than other arms under the same treatment vary "
            f"{listed(own)}: such an interval rests on its own runs."
        )
    return " ".join(parts)
