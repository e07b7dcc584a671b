"""Which class is called which: metrics of the confusion matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from typing_extensions import override

from analysis.metrics import Features, Floats, Gradient, Metric, Outcome, one_hot


@dataclass(frozen=True, slots=True, kw_only=True)
class Confused(Metric):
    """Share of a class's images that are called another class; by indices."""

    true: int
    predicted: int

    @override
    def features(self, outcome: Outcome) -> Features:
        hit = (outcome.label == self.true) & (outcome.predicted == self.predicted)
        return one_hot(np.zeros(len(hit), dtype=np.int32), 1, hit)

    @override
    def value(self, sums: Floats, masses: Floats) -> Floats:
        return np.asarray(sums[..., 0] / masses[..., self.true])

    @override
    def gradient(self, sums: Floats, masses: Floats) -> Gradient:
        fall = np.zeros_like(masses)
        fall[self.true] = -sums[0] / masses[self.true] ** 2
        return Gradient(sums=np.array([1 / masses[self.true]]), masses=fall)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorShare(Metric):
    """Images of other classes that are called the class, over all errors; nought without errors."""

    predicted: int
    """The class, by its index."""

    @override
    def features(self, outcome: Outcome) -> Features:
        wrong = ~outcome.right
        first = np.zeros(len(wrong), dtype=np.int32)
        swallowed = wrong & (outcome.predicted == self.predicted)
        return sparse.hstack([one_hot(first, 1, swallowed), one_hot(first, 1, wrong)], format="csr")

    @override
    def value(self, sums: Floats, masses: Floats) -> Floats:
        return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], np.finfo(np.float64).tiny))

    @override
    def gradient(self, sums: Floats, masses: Floats) -> Gradient:
        swallowed, wrong = sums
        slope = np.array([1 / wrong, -swallowed / wrong**2]) if wrong else np.zeros(2)
        return Gradient(sums=slope, masses=np.zeros_like(masses))


def confusion(outcomes: Sequence[Outcome]) -> Floats:
    """Images of each true class (row) called each class, mean over runs, [K, K]."""
    k = outcomes[0].n_classes
    cells = [np.bincount(run.label * k + run.predicted, minlength=k * k) for run in outcomes]
    return np.asarray(np.mean(cells, axis=0).reshape(k, k))
