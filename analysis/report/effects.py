"""The grid's effects, as every drawing of a report has them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.records import Effect, Report, Verdict
from analysis.report.drawing import Figure
from analysis.report.foremost import MOST
from analysis.report.section import Column, Section, Table
from analysis.words import (
    COMPOSING,
    SIGNS,
    Unit,
    higher_is_better,
    interval_title,
    level_words,
    metric_title,
    pvalue,
    unit_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One interaction in words."""

    verdict: Verdict
    """The verdict whose sign and colour it has."""
    sentence: str

    @property
    def sign(self) -> str:
        """The verdict's sign, so that colour never carries it alone."""
        return SIGNS[self.verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class MainRow:
    """One main effect, every cell as it is printed."""

    name: str
    estimate: str
    interval: str
    p_adjusted: str
    reference: str
    """The baseline's level, that it is against."""
    settings: str
    """Settings of the other levers that it is the mean over; of how many, where some are missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What a report says of its levers."""

    title: str
    together: tuple[Told, ...]
    mains: tuple[MainRow, ...]
    note: str
    """What the figures are, and what their intervals hold for."""


def effects_section(report: Report, figures: Sequence[Figure] = ()) -> Section | None:
    """The same as a part of page and Markdown; None where levers are not crossed."""
    effects = section_of(report)
    if effects is None:
        return None
    return Section(
        key="effects",
        title=effects.title,
        said=tuple(f"{told.sign} {told.sentence}" for told in effects.together),
        figures=tuple(figures),
        tables=(_mains_table(effects.mains, report),),
        note=effects.note,
    )


def _mains_table(rows: Sequence[MainRow], report: Report) -> Table:
    symbol = unit_of(report.metric).symbol
    numbers = (f"delta{symbol and ','}{symbol}", interval_title(report.level), "p adj.", "instead of", "settings")
    return Table(
        name="Main effects",
        columns=(Column(title="main effect"), *(Column(title=title, number=True) for title in numbers)),
        rows=tuple(
            (row.name, row.estimate, row.interval, row.p_adjusted, row.reference, row.settings) for row in rows
        ),
    )


def pairs_of(report: Report, at_most: int = MOST) -> list[Effect]:
    """The interactions to show: all in the report's order or, of more, the most pronounced first."""
    pairs = [effect for effect in report.effects if effect.together]
    if len(pairs) <= at_most:
        return pairs
    return sorted(pairs, key=lambda pair: -_prominence(pair))[:at_most]


def pairs_left_out(report: Report, at_most: int = MOST) -> str:
    """That not all interactions are shown, and where they are: a sentence; empty where they are."""
    n = sum(effect.together is not None for effect in report.effects)
    if n <= at_most:
        return ""
    return f"Of {n:,} pairs of levels the {at_most} most pronounced are shown; the JSON report has them all."


def section_of(report: Report, at_most: int = MOST) -> Effects | None:
    """The report's effects in words and rows; None where levers are not crossed."""
    if not report.effects:
        return None
    unit = unit_of(report.metric)
    together = tuple(
        Told(verdict=COMPOSING[effect.together.label], sentence=effect.sentence)
        for effect in pairs_of(report, at_most)
        if effect.together
    )
    return Effects(
        title="Do the levers compose?" if together else "What does each lever do?",
        together=together,
        mains=tuple(_main_row(effect, unit) for effect in report.effects if effect.kind == "main"),
        note=" ".join(filter(None, (_note(report, bool(together)), pairs_left_out(report, at_most)))),
    )


def most_telling(report: Report) -> Effect | None:
    """The interaction nearest to the best arm: of those that share most levels with it, the most pronounced."""
    pairs = [effect for effect in report.effects if effect.kind == "interaction"]
    sign = 1 if higher_is_better(report.metric) else -1
    best = max(report.arms, key=lambda arm: sign * arm.mean)
    return max(
        pairs,
        key=lambda pair: (len(pair.levels.items() & best.levers.items()), _prominence(pair)),
        default=None,
    )


def _prominence(effect: Effect) -> float:
    """Its size in half-widths of its interval."""
    half = (effect.ci_high_simultaneous - effect.ci_low_simultaneous) / 2
    return abs(effect.estimate) / half if half else math.inf


def _main_row(effect: Effect, unit: Unit) -> MainRow:
    missing = effect.n_cells < effect.of_cells
    (reference,) = effect.references.values()
    return MainRow(
        name=effect.name,
        estimate=unit.delta(effect.estimate),
        interval=unit.interval(effect.ci_low_simultaneous, effect.ci_high_simultaneous),
        p_adjusted=pvalue(effect.p_adjusted),
        reference=level_words(reference),
        settings=f"{effect.n_cells} of {effect.of_cells}" if missing else str(effect.n_cells),
    )


def _note(report: Report, together: bool) -> str:
    margin = unit_of(report.metric).size(report.margin)
    mains = (
        f"A main effect is a level against the baseline's in {metric_title(report.metric)}, the mean over so many "
        "settings of the other levers."
    )
    if not together:
        return f"{mains} Intervals hold for all of them at once."
    return (
        f"{mains} Its intervals hold for all main effects at once, those above for all pairs at once. Two levers "
        f"compose where the interval of the difference lies within {margin} either way; where they do not, a main "
        "effect is the mean of unlike deltas."
    )
