"""A trial's score on val, by which is picked; what is judged is test, and the two never meet."""

from analysis.metrics import OVERALL, class_sizes, metric_named, outcome
from analysis.predictions import read_predictions
from dermtune.ledger import TrialFolder


def val_score(trial: TrialFolder, metric: str) -> float:
    """A done trial's score on val, by its manifest or, of a class's metric, by its predictions.

    Raises PredictionError where the val file cannot be read, MetricError where val lacks the metric's class.
    """
    if metric in OVERALL:
        return float(trial.manifest()["scores"]["val"][metric])
    val = read_predictions(trial.predictions("val"))
    done = outcome(val.label, val.probabilities)
    return metric_named(metric, classes=val.classes, sizes=class_sizes(done)).score(done)
