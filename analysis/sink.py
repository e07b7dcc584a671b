"""The class that swallows others: found by its net inflow in the baseline, followed from arm to arm."""

from collections.abc import Sequence
from dataclasses import replace

from analysis.called import Called
from analysis.confusion import ErrorShare
from analysis.estimates import Design
from analysis.families import chosen, deltas_on, noise_on
from analysis.findings.held import Held
from analysis.findings.tail import ClassMoves, Inflow, Sink, SinkArm
from analysis.metrics import metric_named
from analysis.variance import Interval, contrast, t_interval


def sink_of(design: Design, classes: Called, moves: Sequence[ClassMoves]) -> Sink:
    """The class with the largest net inflow in the baseline: called so, minus being so.

    `moves` are of each class in the order of `classes.present`. The class is chosen by what the baseline shows, so
    all that is said of it is held for every class.
    """
    net = (classes.before.sum(axis=0) - classes.sizes)[classes.present]
    place = int(net.argmax())
    k, baseline = int(classes.present[place]), design.baseline.name
    interval = _over_prediction(design, classes, k)
    n_wrong = float(classes.before.sum() - classes.before.trace())
    return Sink(
        name=classes.names[k],
        n_images=int(classes.sizes[k]),
        ci_low=interval.low,
        ci_high=interval.high,
        net_share=float(net[place]) / n_wrong if n_wrong else 0.0,
        arms=(
            _arm(classes, k, baseline),
            *(
                replace(
                    _arm(classes, k, ratio.arm),
                    share_delta=share,
                    over_prediction_delta=ratio,
                    net_inflow_delta=_times(ratio, float(classes.sizes[k])),
                )
                for share, ratio in zip(_shares(design, classes, k), moves[place].over_prediction, strict=True)
            ),
        ),
    )


def _shares(design: Design, classes: Called, k: int) -> list[Held]:
    """Its share of the errors, each other arm against the baseline."""
    deltas = deltas_on(design, "share of errors", ErrorShare(predicted=k))
    return [chosen(design, delta, out_of=len(deltas) * len(classes.present)) for delta in deltas]


def _over_prediction(design: Design, classes: Called, k: int) -> Interval:
    """Of the baseline alone, held for all classes (Bonferroni).

    What a seed does to all arms alike cancels from a delta alone: here it counts in full.
    """
    name = f"over_prediction:{classes.names[k]}"
    noise = noise_on(design, metric_named(name, classes=classes.names, sizes=classes.sizes))
    c = contrast(name, {design.baseline.name: 1.0}, replace(noise, blocks=None), design.units)
    return t_interval(c.delta, c.total(design.estimand), 1 - (1 - design.level) / len(classes.present))


def _arm(classes: Called, k: int, arm: str) -> SinkArm:
    """An arm by itself."""
    matrix, size = classes.matrices[arm], float(classes.sizes[k])
    n_called, n_wrong = float(matrix[:, k].sum()), float(matrix.sum() - matrix.trace())
    sources = sorted((j for j in classes.present if j != k), key=lambda j: -classes.before[j, k])
    return SinkArm(
        arm=arm,
        share=(n_called - float(matrix[k, k])) / n_wrong if n_wrong else 0.0,
        over_prediction=n_called / size,
        net_inflow=n_called - size,
        inflows=tuple(Inflow(name=classes.names[j], images=float(matrix[j, k])) for j in sources),
        share_delta=None,
        over_prediction_delta=None,
        net_inflow_delta=None,
    )


def _times(delta: Held, n_images: float) -> Held:
    """An over-prediction in images."""
    return Held(
        arm=delta.arm,
        delta=n_images * delta.delta,
        ci_low=n_images * delta.ci_low,
        ci_high=n_images * delta.ci_high,
        ci_low_simultaneous=n_images * delta.ci_low_simultaneous,
        ci_high_simultaneous=n_images * delta.ci_high_simultaneous,
    )
