"""Each arm by itself: means over its seeds, and its classes."""

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.metrics import Floats, class_sizes, over_predictions, recalls, scores
from analysis.records import ArmSummary, ClassScore
from analysis.study import Arm


def summarise(arm: Arm, values: Floats, classes: Sequence[str]) -> ArmSummary:
    """The arm's scores, means over seeds, where `values` [R] are the report's metric.

    Classes without images are left out.
    """
    of_runs = [scores(run.outcome) for run in arm.runs]
    means = {name: float(np.mean([of_run[name] for of_run in of_runs])) for name in of_runs[0]}
    return _summary(arm, tuple(run.seed for run in arm.runs), values, means, _class_scores(arm, classes))


def summarise_scores(arm: Arm, runs: Mapping[int, Mapping[str, float]], values: Floats) -> ArmSummary:
    """The same of scores alone, by seed and metric: nothing is known of classes."""
    first = next(iter(runs.values()))
    return _summary(
        arm, tuple(runs), values, {name: float(np.mean([run[name] for run in runs.values()])) for name in first}, ()
    )


def _summary(
    arm: Arm,
    seeds: tuple[int, ...],
    values: Floats,
    scores: Mapping[str, float],
    classes: tuple[ClassScore, ...],
) -> ArmSummary:
    return ArmSummary(
        arm=arm.name,
        levers=arm.levers,
        seeds=seeds,
        mean=float(values.mean()),
        sd=float(values.std(ddof=1)) if len(values) > 1 else None,
        seed_scores=tuple(map(float, values)),
        scores=scores,
        classes=classes,
    )


def mean_recalls(arm: Arm) -> Floats:
    """Recall of each class, mean over seeds, [K]; nan for a class without images."""
    return np.asarray(np.mean([recalls(run.outcome) for run in arm.runs], axis=0))


def _class_scores(arm: Arm, classes: Sequence[str]) -> tuple[ClassScore, ...]:
    sizes = class_sizes(arm.runs[0].outcome)
    predicted = np.mean([over_predictions(run.outcome) for run in arm.runs], axis=0)
    return tuple(
        ClassScore(name=name, n_images=int(size), recall=float(recall), over_prediction=float(ratio))
        for name, size, recall, ratio in zip(classes, sizes, mean_recalls(arm), predicted, strict=True)
        if size > 0
    )
