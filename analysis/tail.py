"""The long tail: what every arm does to classes, to groups of them, to confusions and to the sink."""

from collections.abc import Sequence

import numpy as np

from analysis.called import Called, called_by
from analysis.confusion import Confused
from analysis.estimates import Design
from analysis.families import Delta, chosen, deltas_on, held
from analysis.findings.held import Held
from analysis.findings.tail import ClassGroup, ClassMoves, Confusion, Tail
from analysis.influence import Ints
from analysis.metrics import mean_recall, metric_named
from analysis.sink import sink_of
from analysis.study import Arm

_GROUPS = ("many", "medium", "few")


def tail_of(design: Design) -> Tail | None:
    """What every arm does to the long tail; None where nothing is compared or only one class has images."""
    classes = called_by(design)
    if not design.others or len(classes.present) < 2:
        return None
    thirds = _thirds(classes)
    recalls, ratios, of_thirds = held(
        design,
        [
            [_named(design, f"recall:{classes.names[k]}", classes) for k in classes.present],
            [_named(design, f"over_prediction:{classes.names[k]}", classes) for k in classes.present],
            [_mean_recall(design, name, third) for name, third in thirds.items()],
        ],
    )
    moves = _moves(classes, recalls, ratios)
    groups = zip(thirds.items(), of_thirds, strict=True)
    return Tail(
        classes=moves,
        groups=tuple(_group(classes, name, third, deltas) for (name, third), deltas in groups),
        confusions=_confusions(design, classes),
        n_confusions=_n_pairs(design, classes),
        sink=sink_of(design, classes, moves),
    )


def _named(design: Design, name: str, classes: Called) -> list[Delta]:
    return deltas_on(design, name, metric_named(name, classes=classes.names, sizes=classes.sizes))


def _mean_recall(design: Design, name: str, third: Ints) -> list[Delta]:
    chosen = np.isin(np.arange(len(design.study.classes)), third)
    return deltas_on(design, f"recall of {name}", mean_recall(chosen), n_classes=len(third))


def _moves(
    classes: Called, recalls: Sequence[tuple[Held, ...]], ratios: Sequence[tuple[Held, ...]]
) -> tuple[ClassMoves, ...]:
    return tuple(
        ClassMoves(name=classes.names[k], n_images=int(classes.sizes[k]), recall=recall, over_prediction=ratio)
        for k, recall, ratio in zip(classes.present, recalls, ratios, strict=True)
    )


def _thirds(classes: Called) -> dict[str, Ints]:
    """Classes by size, in three parts as equal as they can be; none of fewer than three classes."""
    if len(classes.present) < len(_GROUPS):
        return {}
    return dict(zip(_GROUPS, np.array_split(classes.present, len(_GROUPS)), strict=True))


def _group(classes: Called, name: str, third: Ints, deltas: tuple[Held, ...]) -> ClassGroup:
    recalls = classes.before.diagonal()[third] / classes.sizes[third]
    return ClassGroup(
        name=name,
        classes=tuple(classes.names[k] for k in third),
        largest=int(classes.sizes[third].max()),
        smallest=int(classes.sizes[third].min()),
        recall=float(recalls.mean()),
        deltas=deltas,
    )


def _confusions(design: Design, classes: Called) -> tuple[Confusion, ...]:
    """Of each arm, the pair of classes whose images moved most."""
    arms_of: dict[tuple[int, int], list[Arm]] = {}
    for arm in design.others:
        moved = classes.matrices[arm.name] - classes.before
        np.fill_diagonal(moved, 0.0)
        true, predicted = (int(i) for i in np.unravel_index(np.abs(moved).argmax(), moved.shape))
        if moved[true, predicted]:
            arms_of.setdefault((true, predicted), []).append(arm)
    found = {}
    for (true, predicted), arms in arms_of.items():
        for delta in deltas_on(design, "confusion", Confused(true=true, predicted=predicted), arms=arms):
            sure = chosen(design, delta, out_of=_n_pairs(design, classes))
            found[delta.arm] = _confusion(classes, true, predicted, sure)
    return tuple(found[arm.name] for arm in design.others if arm.name in found)


def _confusion(classes: Called, true: int, predicted: int, delta: Held) -> Confusion:
    before, after = (classes.matrices[arm][true, predicted] for arm in (classes.baseline, delta.arm))
    return Confusion(
        arm=delta.arm,
        true=classes.names[true],
        predicted=classes.names[predicted],
        before=float(before / classes.sizes[true]),
        after=float(after / classes.sizes[true]),
        images=float(after - before),
        delta=delta,
    )


def _n_pairs(design: Design, classes: Called) -> int:
    """Pairs of a true class with images and any other class, in every arm that is compared."""
    return len(design.others) * len(classes.present) * (len(classes.names) - 1)
