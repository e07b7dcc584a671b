"""The long tail: which classes, groups and confusions an arm moves beyond chance, and what becomes of the sink."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from analysis.findings.held import Held
from analysis.findings.tail import ClassMoves, Confusion, Sink, SinkArm, Tail
from analysis.records import Report
from analysis.report.foremost import noted, shown
from analysis.report.section import Column, Section, Table
from analysis.report.tailfigures import groups_figure, sink_figure
from analysis.words import Unit, chance_of, count, interval_title, listed, unit_of

_POINTS = unit_of("recall")
_RATIO = unit_of("over_prediction:")
_IMAGES = Unit(factor=1.0, symbol="", decimals=1)
_MOST = 3
"""Arms that are told of one by one; the tables have them all."""


def tail_section(report: Report) -> Section | None:
    """What every arm does to the long tail; None where nobody looked."""
    tail = report.tail
    if tail is None:
        return None
    figures = (groups_figure(_narrowed(tail, report)), sink_figure(_narrowed(tail, report).sink))
    return Section(
        key="long-tail",
        title="The long tail",
        said=(*_classes(tail), *_groups(tail), *_confusions(tail), *_sink(tail.sink)),
        figures=tuple(figure for figure in figures if figure is not None),
        tables=tuple(
            filter(
                None,
                (
                    _group_table(tail),
                    *_class_tables(_narrowed(tail, report)),
                    _confusion_table(tail),
                    _sink_table(tail),
                ),
            )
        ),
        note=noted(_note(report, tail), report),
    )


def _narrowed(tail: Tail, report: Report) -> Tail:
    """The same of the arms to show, for what has a row or a column an arm."""
    return replace(
        tail,
        classes=tuple(
            replace(
                move,
                recall=tuple(shown(move.recall, report)),
                over_prediction=tuple(shown(move.over_prediction, report)),
            )
            for move in tail.classes
        ),
        groups=tuple(replace(group, deltas=tuple(shown(group.deltas, report))) for group in tail.groups),
        sink=replace(tail.sink, arms=tuple(shown(tail.sink.arms, report))),
    )


def _classes(tail: Tail) -> list[str]:
    """Whose recall each arm moves beyond chance, the arms that move most classes first."""
    moved = _moved(tail)
    telling = sorted((arm for arm in moved if moved[arm]), key=lambda arm: -len(moved[arm]))
    n = len(tail.classes) * len(moved)
    if not telling:
        return [
            f"No arm moves the recall of any class beyond chance: {n} intervals that hold at once all include 0."
        ]
    rest = len(telling) - _MOST
    more = (
        [f"Of the other arms {rest} {'moves' if rest == 1 else 'move'} some class beyond chance."]
        if rest > 0
        else []
    )
    return [*(_class_sentence(arm, moved[arm]) for arm in telling[:_MOST]), *more]


def _arms(tail: Tail) -> list[str]:
    return [delta.arm for delta in tail.classes[0].recall]


def _moved(tail: Tail) -> dict[str, dict[str, Held]]:
    """Recalls that each arm moves beyond chance, by class, the largest move first."""
    found: dict[str, dict[str, Held]] = {arm: {} for arm in _arms(tail)}
    for move in tail.classes:
        for delta in move.recall:
            if delta.real:
                found[delta.arm][move.name] = delta
    return {
        arm: dict(sorted(of_arm.items(), key=lambda item: -abs(item[1].delta))) for arm, of_arm in found.items()
    }


def _class_sentence(arm: str, moved: Mapping[str, Held]) -> str:
    ways = {"lifts": 1, "lowers": -1}
    said = [
        f"{verb} the recall of {listed(names)}"
        for verb, sign in ways.items()
        if (names := [f"{k} ({_POINTS.said(d.delta)})" for k, d in moved.items() if sign * d.delta > 0])
    ]
    return f"{arm} {', and '.join(said)} beyond chance."


def _groups(tail: Tail) -> list[str]:
    """What moves the mean recall of each third most."""
    if not tail.groups:
        return []
    most = {group.name: max(group.deltas, key=lambda delta: abs(delta.delta) * delta.real) for group in tail.groups}
    moved = [
        f"of {name} with {delta.arm} ({_POINTS.said(delta.delta)}; {_ends(_POINTS, delta)})"
        for name, delta in most.items()
        if delta.real
    ]
    if not moved:
        return ["In no arm does the mean recall of many, medium or few classes move beyond chance."]
    still = [name for name, delta in most.items() if not delta.real]
    rest = f"; that of {listed(still)} with no arm" if still else ""
    return [f"Beyond chance the mean recall moves most {listed(moved)}{rest}."]


def _confusions(tail: Tail) -> list[str]:
    """The pairs of classes that moved most beyond chance; where none did, the largest move all the same."""
    ordered = sorted(tail.confusions, key=lambda found: -abs(found.images))
    real = [found for found in ordered if found.delta.real]
    if real:
        return [f"{_confused(found)}." for found in real[:_MOST]]
    return [
        f"{_confused(found)}: the largest change of a confusion, and it may be chance." for found in ordered[:1]
    ]


def _confused(found: Confusion) -> str:
    return (
        f"{found.arm} calls {_percent(found.after)} of the {found.true} images {found.predicted}, the baseline "
        f"{_percent(found.before)} ({_POINTS.said(found.delta.delta)}; {_ends(_POINTS, found.delta)})"
    )


def _sink(sink: Sink) -> list[str]:
    baseline, *arms = sink.arms
    ratio = f"{baseline.over_prediction:.2f}"
    ends = f"({sink.ci_low:.2f} to {sink.ci_high:.2f})"
    if not sink.real:
        return [
            f"No class is a sink beyond chance: {sink.name} leads, said {ratio} times as often as it occurs {ends}."
        ]
    sources = [f"{flow.name} ({flow.images:.0f})" for flow in baseline.inflows if flow.images >= 0.5]
    return [
        f"{sink.name} is the sink: the baseline says it {ratio} times as often as it occurs {ends}, and "
        f"{_percent(baseline.share)} of its errors are images of other classes called {sink.name}; its net inflow, "
        f"{baseline.net_inflow:.0f} images a run, is {_percent(sink.net_share)} of all errors.",
        f"Images flow into it from {listed(sources)}.",
        _drained(sink, arms),
    ]


def _drained(sink: Sink, arms: Sequence[SinkArm]) -> str:
    """What arms do to the sink."""
    moved = [(arm, arm.over_prediction_delta) for arm in arms]
    real = [(arm, delta) for arm, delta in moved if delta is not None and delta.real]
    if not real:
        return f"No arm changes beyond chance how often {sink.name} is said."
    real.sort(key=lambda pair: -abs(pair[1].delta))
    said = [f"to {arm.over_prediction:.2f} with {arm.arm} ({_RATIO.delta(delta.delta)})" for arm, delta in real]
    return f"How often {sink.name} is said, over how often it occurs, moves beyond chance {listed(said)}."


def _group_table(tail: Tail) -> Table | None:
    if not tail.groups:
        return None
    titles = [f"{group.name}: {count(len(group.classes), 'class')}" for group in tail.groups]
    baseline = ("baseline, %", *(_POINTS.score(group.recall) for group in tail.groups))
    deltas = zip(*(group.deltas for group in tail.groups), strict=True)
    return Table(
        name="Mean recall of many, medium and few, arm minus baseline in points",
        columns=(Column(title="arm"), *(Column(title=title, number=True) for title in titles)),
        rows=(baseline, *((row[0].arm, *(_marked(_POINTS, delta) for delta in row)) for row in deltas)),
    )


def _class_tables(tail: Tail) -> list[Table]:
    return [
        _class_table("Recall of every class, arm minus baseline in points", tail, _POINTS, recalls=True),
        _class_table("Over-prediction of every class, arm minus baseline", tail, _RATIO, recalls=False),
    ]


def _class_table(name: str, tail: Tail, unit: Unit, *, recalls: bool) -> Table:
    titles = (*(Column(title=title, number=True) for title in ("images", *_arms(tail))),)
    return Table(
        name=name,
        columns=(Column(title="class"), *titles),
        rows=tuple(
            (move.name, f"{move.n_images:,}", *(_marked(unit, delta) for delta in _deltas(move, recalls=recalls)))
            for move in tail.classes
        ),
        folded=True,
    )


def _deltas(move: ClassMoves, *, recalls: bool) -> Iterable[Held]:
    return move.recall if recalls else move.over_prediction


def _confusion_table(tail: Tail) -> Table | None:
    if not tail.confusions:
        return None
    titles = ("baseline, %", "arm, %", "delta, pt", "images a run")
    return Table(
        name="The confusion that each arm changes most",
        columns=(
            *(Column(title=title) for title in ("arm", "images of", "called")),
            *(Column(title=title, number=True) for title in titles),
        ),
        rows=tuple(
            (
                found.arm,
                found.true,
                found.predicted,
                _POINTS.score(found.before),
                _POINTS.score(found.after),
                _marked(_POINTS, found.delta),
                _IMAGES.delta(found.images),
            )
            for found in tail.confusions
        ),
        folded=True,
    )


def _sink_table(tail: Tail) -> Table:
    titles = ("share of errors, %", "delta, pt", "over-prediction", "delta", "net inflow, images", "delta")
    return Table(
        name=f"What becomes of {tail.sink.name}",
        columns=(Column(title="arm"), *(Column(title=title, number=True) for title in titles)),
        rows=tuple(
            (
                arm.arm,
                _POINTS.score(arm.share),
                _marked(_POINTS, arm.share_delta),
                _RATIO.score(arm.over_prediction),
                _marked(_RATIO, arm.over_prediction_delta),
                _IMAGES.score(arm.net_inflow),
                _marked(_IMAGES, arm.net_inflow_delta),
            )
            for arm in tail.sink.arms
        ),
        folded=True,
    )


def _marked(unit: Unit, delta: Held | None) -> str:
    """`+4.31 (+0.68 to +7.94) ▲`: the family's interval, and a mark where it excludes nought."""
    if delta is None:
        return ""
    mark = (" ▲" if delta.delta > 0 else " ▼") if delta.real else ""
    return f"{unit.delta(delta.delta)} ({_ends(unit, delta)}){mark}"


def _ends(unit: Unit, delta: Held) -> str:
    return unit.interval(delta.ci_low_simultaneous, delta.ci_high_simultaneous)


def _percent(share: float) -> str:
    return chance_of(share) if 0 < share < 0.01 else f"{100 * share:.1f}%"


def _note(report: Report, tail: Tail) -> str:
    thirds = (
        " Many, medium and few are thirds of the classes by test images, for training images are not known here."
        if tail.groups
        else ""
    )
    return (
        f"▲ and ▼ mark what moves beyond chance: the {interval_title(report.level)} excludes 0 and holds for all "
        f"classes and arms at once. Recalls are one family, over-predictions another, groups a third.{thirds} A "
        f"confusion is the one of {tail.n_confusions:,} (pairs of classes times arms) that moved most, so its "
        "interval holds for them all (Bonferroni). The sink is the class with the largest net inflow in the "
        "baseline: images of others that are called so, minus its own that are called others; the intervals of its "
        "share of errors hold for all classes and arms (Bonferroni)."
    )
