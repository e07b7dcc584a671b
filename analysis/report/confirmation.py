"""What is left of a gain from where it was picked to where it is judged: sentences, a table, a figure."""

import math
from collections.abc import Sequence
from statistics import fmean

from analysis.findings.selection import Confirmed, Optimism, Selection, Yardstick
from analysis.records import Report
from analysis.report.searchmarks import better
from analysis.report.section import Column, Section, Table
from analysis.report.shrinkagefigure import shrinkage_figure, shrinkage_title
from analysis.words import (
    Unit,
    count,
    interval_title,
    levers_words,
    listed,
    metric_title,
    unit_of,
)


def confirmation_section(report: Report) -> Section | None:
    """From the first stage to `test`, a row a pick; None where no first stage found the arms."""
    selection = report.selection
    if selection is None:
        return None
    searched = selection.first_stage.stage == "search"
    return Section(
        key="confirmation",
        title=shrinkage_title(selection),
        said=said(report),
        figures=(shrinkage_figure(report, selection),),
        tables=(_table(report, selection), *([] if searched else [_screened(selection)])),
        note=_note(report, selection),
    )


def said(report: Report) -> tuple[str, ...]:
    """How much is left, what of it was luck, and how much luck alone shows; nothing without a first stage."""
    selection = report.selection
    if selection is None:
        return ()
    unit = unit_of(selection.first_stage.metric)
    sentences = [_left(selection, unit, interval_title(report.verdicts_level))]
    if selection.optimism:
        sentences.append(_lucky(selection, selection.optimism, unit))
    if selection.yardstick:
        sentences.append(_by_chance(selection, selection.yardstick, unit))
    if selection.agreement and selection.agreement.n_arms > 1:
        sentences.append(_agreed(selection))
    return tuple(filter(None, sentences))


def _left(selection: Selection, unit: Unit, interval: str) -> str:
    """Of all picks where there are several, else of the one; what is not there yet is said not to be."""
    first, picks = selection.first_stage, selection.confirmed
    who, several = "search" if first.stage == "search" else "screening", len(picks) > 1
    seen, fresh, test = (_mean([getattr(one, step) for one in picks]) for step in ("first", "fresh", "test"))
    if seen is None:
        state = first.tried[0].state
        return (
            f"The baseline {'was' if state == 'pruned' else 'has'} {state} in the {who}: what it saw has no delta."
        )
    whose = f"its {len(picks)} picks on val, on average" if several else f"{picks[0].arm} on val"
    head = f"Of the {unit.said(seen)} that the {who} saw in {whose}"
    if fresh is None:
        missing = listed([one.arm for one in picks if one.fresh is None])
        return f"{head}, nobody knows yet how much is left: {missing} {_has(picks)} no run on val with fresh seeds."
    sign = better(first)
    if sign * seen <= 0 or sign * fresh >= sign * seen:  # more than all cannot be left of it
        left = f"The {who} saw {unit.said(seen)} in {whose}; fresh seeds show {unit.said(fresh)} there"
    elif sign * fresh <= 0:
        left = f"{head}, nothing is left there with fresh seeds ({unit.said(fresh)})"
    else:
        left = f"{head}, {unit.said(fresh)} is left there with fresh seeds"
    if test is None:
        return f"{left}; on test it is not judged here."
    one = picks[0]
    known = not several and one.ci_low is not None and one.ci_high is not None
    ends = f" ({interval} {unit.interval(one.ci_low or 0.0, one.ci_high or 0.0)})" if known else ""
    return f"{left}, and {unit.said(test)}{ends} on test."


def _has(picks: Sequence[Confirmed]) -> str:
    return "has" if sum(one.fresh is None for one in picks) == 1 else "have"


def _lucky(selection: Selection, optimism: Optimism, unit: Unit) -> str:
    """Whether the picks' first runs were better than others of the same arms."""
    size = unit.size(abs(optimism.mean))
    lucky = better(selection.first_stage) * optimism.mean > 0
    looked = f"looked {'better' if lucky else 'worse'} than fresh ones of the same arms by {size}"
    if optimism.ci_low is None or optimism.ci_high is None:
        return f"The first runs {looked}; of that there is no interval: {optimism.why_not}."
    over = f"{_whose(selection, optimism)}, 95% interval {unit.interval(optimism.ci_low, optimism.ci_high)}"
    if optimism.ci_low <= 0 <= optimism.ci_high:
        return f"The first runs {looked}, which chance explains ({over})."
    return (
        f"The first runs {looked} ({over}): beyond chance, {'the luck of being picked' if lucky else 'unluckily'}."
    )


def _whose(selection: Selection, optimism: Optimism) -> str:
    """`5 seeds`; where picks have unlike seeds, or some have none, which seeds and how many of the picks."""
    seeds, n_picks = count(optimism.n_seeds, "seed"), len(selection.confirmed)
    if all(one.n_seeds == optimism.n_seeds for one in selection.confirmed):
        return seeds
    if optimism.n_picks == n_picks:
        return f"over the {seeds} that all picks have"
    return f"{optimism.n_picks} of {n_picks} picks, over the {seeds} that all of them have"


def _by_chance(selection: Selection, ruler: Yardstick, unit: Unit) -> str:
    known = "assumed" if ruler.df is None else f"measured on val, {ruler.df} df"
    sign = better(selection.first_stage)
    best = max(
        (one for one in selection.confirmed if one.first is not None),
        key=lambda one: sign * (one.first or 0),
        default=None,
    )
    seen = "" if best is None else f"; the search saw {unit.said(best.first or 0.0)} in {best.arm}"
    return (
        f"If no lever did anything, the best of {count(ruler.n_whole, 'point')} would still show "
        f"{unit.said(ruler.best)} (runs vary by {unit.size(ruler.sd)}, {known}){seen}."
    )


def _agreed(selection: Selection) -> str:
    agreement = selection.agreement
    if agreement is None or agreement.tau_val is None:
        return ""
    on_test = "" if agreement.tau_test is None else f", {_tau(agreement.tau_test)} with test"
    return (
        f"The screening puts its {agreement.n_arms} survivors in an order that agrees with that of full training "
        f"by Kendall's tau {_tau(agreement.tau_val)} on val{on_test} (1 the same order, −1 the reverse); of so few "
        "arms it says little."
    )


def _tau(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _table(report: Report, selection: Selection) -> Table:
    unit, first = unit_of(selection.first_stage.metric), selection.first_stage
    titles = [
        f"{first.stage}, val{unit.of_deltas}",
        f"fresh seeds, val{unit.of_deltas}",
        "seeds",
        f"test{unit.of_deltas}",
        interval_title(report.verdicts_level),
    ]
    titles += [f"by chance{unit.of_deltas}"] if selection.yardstick else []
    tried = {one.number: one for one in first.tried}
    return Table(
        name="Deltas to the baseline from where an arm was picked to where it is judged",
        columns=(
            Column(title="arm"),
            *(Column(title=title, number=True) for title in titles),
            Column(title="levers"),
        ),
        rows=tuple(
            (*_row(one, selection, unit), levers_words(tried[one.number].levers)) for one in selection.confirmed
        ),
    )


def _row(one: Confirmed, selection: Selection, unit: Unit) -> tuple[str, ...]:
    known = one.ci_low is not None and one.ci_high is not None
    return (
        one.arm,
        _delta(one.first, unit),
        _delta(one.fresh, unit),
        str(one.n_seeds),
        _delta(one.test, unit),
        unit.interval(one.ci_low or 0.0, one.ci_high or 0.0) if known else "–",
        *([_delta(one.by_chance, unit)] if selection.yardstick else []),
    )


def _delta(value: float | None, unit: Unit) -> str:
    return "–" if value is None else unit.delta(value)


def _screened(selection: Selection) -> Table:
    """Every arm of a screening, the best first."""
    first = selection.first_stage
    unit, picked = unit_of(first.metric), {pick.number for pick in first.picks}
    sign = better(first)
    ranked = sorted(first.tried[1:], key=lambda one: -sign * one.scores.get(first.metric, -sign * math.inf))
    return Table(
        name=f"All arms that were screened on a frozen backbone, {count(len(first.seeds), 'seed')} each",
        columns=(
            Column(title="arm"),
            Column(title=f"delta on val{unit.of_deltas}", number=True),
            Column(title="goes on"),
        ),
        rows=tuple(
            (
                one.name,
                _delta(first.delta(one.number), unit),
                "failed" if one.state == "failed" else "yes" if one.number in picked else "no",
            )
            for one in ranked
        ),
        folded=True,
    )


def _note(report: Report, selection: Selection) -> str:
    first = selection.first_stage
    if first.stage == "screen":
        lines = [
            "The screening trained a head on a frozen backbone, the second stage all that the recipe trains: "
            "what differs between the first two columns is that, and the luck of the screening's seeds.",
        ]
    else:
        lines = [
            "Whatever is picked for being the best of many was in part lucky: on average its first delta is too "
            "large (the winner's curse). Fresh seeds on the same val show what was luck of the runs; test shows "
            "besides what was luck of val's images, or is other there. Nothing is picked on test.",
        ]
        if selection.yardstick and selection.yardstick.n_scored > selection.yardstick.n_whole:
            more = unit_of(first.metric).said(selection.yardstick.best_scored)
            lines.append(
                f"By chance counts points trained to the end; what picking alone shows lies between that and "
                f"{more} for the best, which counts the pruned ones too."
            )
        if len(first.objectives) > 1:
            lines.append("Picks were sought by several objectives, so chance alone shows less in the metric.")
    if (report.metric, report.baseline) != (first.metric, first.tried[0].name):
        lines.append(
            f"The picks were made on {metric_title(first.metric)} against {first.tried[0].name}; this report "
            f"judges {metric_title(report.metric)} against {report.baseline}, so nothing of test stands here."
        )
    if report.relabelled:
        lines.append("Labels of test are corrected, those of val are as given.")
    return " ".join(lines)


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one is not known."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None
