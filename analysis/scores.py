"""Scores of runs whose predictions are gone: a table of old results, judged as far as it goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.foreign import best_baseline, read_csv, refuse_rows, run_columns
from analysis.influence import Measured
from analysis.metrics import OVERALL, Floats, MetricError
from analysis.study import Arm, Question, SourceError, Study, check_names, unequal_seeds

RUN_COLUMNS = ("arm", "seed")
"""What names a run; every other column is a metric."""
OF_A_CLASS = ("recall:", "over_prediction:")
"""Beginnings of the metrics of one class."""
_UNKNOWN = (
    "these are scores alone: they say what new seeds would do on this very test set, and not what other images "
    "would, which images or classes changed, how sure the model was, or what wrong labels weigh"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """What is left of runs: a score a metric."""

    study: Study
    """The question and its arms, without an image or a prediction."""
    scores: Mapping[str, Mapping[int, Mapping[str, float]]]
    """Of each arm and seed, by metric; every run has every metric."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that there are."""
        return tuple(next(iter(next(iter(self.scores.values())).values())))

    def measured(self, arm: str, metric: str) -> Measured:
        """The arm's runs on a metric, of which no image carries anything. Raises MetricError."""
        if metric not in self.metrics:
            raise MetricError(f"metric must be a column of the scores, {', '.join(self.metrics)}, got {metric!r}")
        runs = self.scores[arm]
        values = np.asarray([run[metric] for run in runs.values()])
        return Measured(arm=arm, seeds=tuple(runs), scores=values, influence=np.zeros((len(values), 0)))


def load_scores(path: Path) -> ScoreTable:
    """The table in a CSV with the columns arm, seed and one a metric, as fractions.

    The metric is balanced accuracy, or else the first; top-1 guards it where it is there. Raises SourceError, which
    names file, column and row.
    """
    table = read_csv(path)
    names = _metrics(table, path)
    if table.empty:
        raise SourceError(f"{path}: a table of scores must have at least one run, got none")
    runs = run_columns(table, path)
    values = {name: _scores(table, name, path) for name in names}
    arms = list(dict.fromkeys(arm for arm, _ in runs))
    scores: dict[str, dict[int, dict[str, float]]] = {arm: {} for arm in arms}
    for row, (arm, seed) in sorted(enumerate(runs), key=lambda numbered: numbered[1][1]):
        scores[arm][seed] = {name: float(values[name][row]) for name in names}
    return ScoreTable(study=_without_images(path, names, scores), scores=scores)


def _metrics(table: pd.DataFrame, path: Path) -> list[str]:
    """The columns that are scores; what is neither that nor arm nor seed is refused, not skipped."""
    names = [column for column in table.columns if column not in RUN_COLUMNS]
    missing = [repr(column) for column in RUN_COLUMNS if column not in table.columns]
    missing += [] if names else ["a metric"]
    if missing:
        raise SourceError(
            f"{path}: must have the columns arm, seed and one a metric (scores alone), or arm, seed and path "
            f"(prediction files), {missing[0]} is missing (it has {', '.join(table.columns)})"
        )
    for name in names:
        if name not in OVERALL and not (name.startswith(OF_A_CLASS) and name.partition(":")[2]):
            raise SourceError(
                f"{path}: a column of scores must be one of {', '.join(OVERALL)}, recall:<class> or "
                f"over_prediction:<class>, got {name!r}"
            )
    return names


def _scores(table: pd.DataFrame, name: str, path: Path) -> Floats:
    given = table[name]
    values = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64)
    refuse_rows(~np.isfinite(values), path, f"{name} must be a number", given)
    refuse_rows(values < 0, path, f"{name} must be >= 0", given)
    if name != "nll" and not name.startswith("over_prediction:"):
        refuse_rows(values > 1, path, f"{name} must be a fraction, .736 and not 73.6", given)
    return values


def _without_images(path: Path, metrics: list[str], scores: Mapping[str, Mapping[int, object]]) -> Study:
    check_names(str(path), "an arm", scores)
    check_names(str(path), "a class", [name.partition(":")[2] for name in metrics])
    primary = "balanced_accuracy" if "balanced_accuracy" in metrics else metrics[0]
    none = np.empty(0, dtype=np.str_)
    return Study(
        question=Question(
            name=path.stem,
            sentence="",
            baseline=best_baseline(list(scores)),
            arms={arm: {} for arm in scores},
            primary_metric=primary,
            guard_metrics=tuple(name for name in ("top1",) if name in metrics),
        ),
        classes=(),
        sample_id=none,
        group_id=none,
        label=np.empty(0, dtype=np.int64),
        arms=tuple(Arm(name=arm, levers={}, runs=()) for arm in scores),
        problems=(_UNKNOWN, *unequal_seeds({arm: set(runs) for arm, runs in scores.items()})),
        provenance={"scores": path.name},
    )
