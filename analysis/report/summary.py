"""The report in one small table: a row an arm, then which classes pay for it and which gain."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from analysis.findings.posthoc import TreatedArm
from analysis.records import ArmSummary, Comparison, Report, Verdict
from analysis.words import SIGNS, Unit, metric_title, unit_of

_SHOWN = ("top1", "top3", "balanced_accuracy")
"""Metrics that have a column, beside the report's own."""
_MOST = 2
"""Classes that are named on either side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """One arm, every cell as it is printed."""

    name: str
    """The arm's; of treated checkpoints `+hflip`."""
    scores: tuple[str, ...]
    """Means over seeds, in the order of the columns; a dash where it is not known."""
    delta: str
    interval: str
    verdict: Verdict | None
    """None of the baseline, and where nothing was to be decided."""
    label: str
    """What the verdict is qualified by; `baseline` of the baseline."""

    @property
    def said(self) -> str:
        """`✓ keep, practical`."""
        verdict = self.verdict and f"{SIGNS[self.verdict]} {self.verdict}"
        return ", ".join(filter(None, (verdict, self.label)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlight:
    """The classes whose recall an arm changes most."""

    arm: str
    verdict: Verdict
    moves: tuple[str, ...]
    """`eczema −48.1`: those that lose most, then those that gain most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a report comes to."""

    columns: tuple[str, ...]
    """Metrics, as a person names them."""
    delta: str
    """Title of the delta's column."""
    compared: bool
    """There is more than one arm, and so a delta."""
    rows: tuple[SummaryRow, ...]
    treated: tuple[SummaryRow, ...]
    """The baseline's own checkpoints after training, against themselves as trained."""
    highlights: tuple[Highlight, ...]
    notes: tuple[str, ...]
    """How to read it."""


def summary_of(report: Report) -> Summary:
    """The arms in the report's order, and the classes of those that are decided or move a class for sure."""
    metrics = _metrics(report)
    compared = {comparison.arm: comparison for comparison in report.comparisons}
    treated = [one for one in report.posthoc if one.arm == report.baseline]
    highlights = tuple(filter(None, (_highlight(report, c) for c in report.comparisons)))
    return Summary(
        columns=tuple(map(_column, metrics)),
        delta=f"delta{unit_of(report.metric).symbol and ','}{unit_of(report.metric).symbol}",
        compared=bool(compared),
        rows=tuple(_row(report, arm, compared.get(arm.arm), metrics) for arm in report.arms),
        treated=tuple(_treated(report, one, metrics) for one in treated),
        highlights=highlights,
        notes=tuple(_notes(report, bool(treated), highlights)),
    )


def _metrics(report: Report) -> list[str]:
    """The metrics that some arm has a score of; the report's own is among them."""
    shown = [name for name in _SHOWN if any(name in _scores(report, arm) for arm in report.arms)]
    return shown if report.metric in shown else [*shown, report.metric]


def _column(metric: str) -> str:
    return "balanced acc" if metric == "balanced_accuracy" else metric_title(metric)


def _scores(report: Report, arm: ArmSummary) -> dict[str, float]:
    return {**arm.scores, report.metric: arm.mean}


def _row(report: Report, arm: ArmSummary, comparison: Comparison | None, metrics: Sequence[str]) -> SummaryRow:
    unit, scores = unit_of(report.metric), _scores(report, arm)
    return SummaryRow(
        name=arm.arm,
        scores=_printed(scores, metrics),
        delta=unit.delta(comparison.delta) if comparison else "",
        interval=_interval(unit, comparison) if comparison else "",
        verdict=comparison.verdict if comparison else None,
        label=comparison.label if comparison else "baseline",
    )


def _treated(report: Report, one: TreatedArm, metrics: Sequence[str]) -> SummaryRow:
    changes = (one.top3, one.ece, *one.guards, one.primary)
    unit = unit_of(report.metric)
    return SummaryRow(
        name=one.name.removeprefix(report.baseline),
        scores=_printed({change.metric: change.after for change in changes}, metrics),
        delta=unit.delta(one.primary.delta),
        interval=_interval(unit, one) if one.verdict else "",
        verdict=one.verdict,
        label=one.label if one.verdict else "as before",
    )


def _printed(scores: Mapping[str, float], metrics: Sequence[str]) -> tuple[str, ...]:
    return tuple(unit_of(name).score(scores[name]) if name in scores else "–" for name in metrics)


def _interval(unit: Unit, of: Comparison | TreatedArm) -> str:
    return unit.interval(of.ci_low_simultaneous, of.ci_high_simultaneous)


def _highlight(report: Report, comparison: Comparison) -> Highlight | None:
    """None of an undecided arm that moves no class for sure, and where classes are not known."""
    real, deltas = _real(report, comparison.arm), report.class_deltas_of(comparison)
    if not deltas or (comparison.verdict == "inconclusive" and not real):
        return None
    ranked = sorted(deltas.items(), key=lambda move: move[1])
    losing = [move for move in ranked[:_MOST] if move[1] < 0]
    gaining = [move for move in ranked[: -_MOST - 1 : -1] if move[1] > 0]
    return Highlight(
        arm=comparison.arm,
        verdict=comparison.verdict,
        moves=tuple(_move(name, delta, real) for name, delta in (*losing, *gaining)),
    )


def _move(name: str, delta: float, real: Collection[str]) -> str:
    points = unit_of("recall")
    return f"{name} {points.said(delta).removesuffix(points.symbol)}{'*' if name in real else ''}"


def _real(report: Report, arm: str) -> set[str]:
    """Classes whose recall the arm changes beyond chance, all classes and arms allowed for."""
    if report.tail is None:
        return set()
    return {k.name for k in report.tail.classes for held in k.recall if held.arm == arm and held.real}


def _notes(report: Report, treated: bool, highlights: Sequence[Highlight]) -> list[str]:
    notes = []
    if report.comparisons:
        notes.append(f"Deltas are of {metric_title(report.metric)}, their intervals hold for all arms at once.")
    if treated:
        notes.append(
            "Rows that begin with + are the baseline's own checkpoints, treated after training, against themselves "
            "as trained."
        )
    if any(move.endswith("*") for highlight in highlights for move in highlight.moves):
        notes.append(
            "Classes by recall, in points; * its interval, held for all classes and arms at once, excludes 0."
        )
    elif highlights:
        known = (
            "none of these moves is shown to be more than chance" if report.tail else "no interval was made of them"
        )
        notes.append(f"Classes by recall, in points; {known}.")
    return notes
