"""What a search tried: its history, its levers' importances, every score by every lever."""

from analysis.findings.selection import FirstStage, Tried
from analysis.records import Report
from analysis.report.searchfigures import fronts, history, importances
from analysis.report.searchmarks import better
from analysis.report.section import Column, Section, Table
from analysis.report.slices import slices
from analysis.words import Unit, count, levers_words, listed, metric_title, unit_of


def search_section(report: Report) -> Section | None:
    """The search that found the arms; None where there was none."""
    selection = report.selection
    if selection is None or selection.first_stage.stage != "search":
        return None
    first = selection.first_stage
    figures = (history(first), importances(first), slices(first), *fronts(first))
    return Section(
        key="search",
        title="What did the search try?",
        said=said(first),
        figures=tuple(figure for figure in figures if figure is not None),
        tables=(_table(first),),
        note=(
            "The search scores on val alone, with one training seed that all points share: enough to propose arms, "
            "too little to judge one. Its picks were trained again with other seeds and are judged on test."
        ),
    )


def said(first: FirstStage) -> tuple[str, ...]:
    """What was tried and found, and which levers mattered there."""
    unit, n = unit_of(first.metric), first.n_by_state
    states = [
        f"{n['done']} trained to the end",
        f"{n['pruned']} pruned",
        *([f"{n['failed']} failed"] * bool(n["failed"])),
    ]
    found = [
        pick.arm if (delta := first.delta(pick.number)) is None else f"{pick.arm} ({unit.said(delta)})"
        for pick in first.picks
    ]
    sentences = [
        f"{count(len(first.tried) - 1, 'point')} beside the baseline: {listed(states)}.",
        f"Picked by {' and '.join(map(metric_title, first.objectives))} on val: {listed(found, at_most=5)}.",
    ]
    if first.importances:
        lever, share = max(first.importances.items(), key=lambda one: one[1])
        sentences.append(
            f"Over the searched ranges {lever} moved the score most: {100 * share:.0f}% of the variance that "
            "levers explain one by one (fANOVA, one training seed)."
        )
    return tuple(sentences)


def _table(first: FirstStage) -> Table:
    """Every point, the best whole one first, then those that were pruned and those that failed."""
    unit = unit_of(first.metric)
    states = ("done", "pruned", "failed")

    def place(one: Tried) -> tuple[int, float]:
        score = one.scores.get(first.metric, 0.0)
        return states.index(one.state), -better(first) * score

    titles = ("number", "epochs", f"{metric_title(first.metric)}, val", "delta to the baseline")
    return Table(
        name="Every point of the search",
        columns=(
            Column(title="point"),
            *(Column(title=title, number=True) for title in titles),
            Column(title="state"),
            Column(title="levers"),
        ),
        rows=tuple(_row(one, first, unit) for one in sorted(first.tried, key=place)),
        folded=True,
    )


def _row(one: Tried, first: FirstStage, unit: Unit) -> tuple[str, ...]:
    picks = {pick.number: pick.arm for pick in first.picks}
    score, delta = one.scores.get(first.metric), first.delta(one.number)
    return (
        one.name,
        str(one.number),
        str(one.epochs),
        "–" if score is None else unit.score(score),
        "–" if delta is None else unit.delta(delta),
        f"{one.state}, {picks[one.number]}" if one.number in picks else one.state,
        levers_words(one.levers),
    )
