"""Scores of a classifier, each a function of weighted sums over images.

A metric is written once, as a value of sums over images (`Metric.features`) and of the classes' masses. At weights
one it is the score; its gradient carries the variance (`analysis.influence`); at resampled weights it is the
bootstrap's replicate (`analysis.resampling`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from typing_extensions import override

Floats = NDArray[np.float64]
Features: TypeAlias = "sparse.csr_array[np.float64, tuple[int, int]]"
"""What images or units add to sums, [N, P]; sparse, for an image adds to one or two of them."""

OVERALL = ("top1", "top3", "balanced_accuracy", "macro_f1", "ece", "nll")
"""Metrics that need no further name."""
N_BINS = 15
"""Equal-width confidence bins of the ECE (Guo et al. 2017, arXiv:1706.04599)."""


class MetricError(ValueError):
    """A metric that there is not, or a class that it names and the data have not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one trial did with each image: all that any metric needs of it."""

    label: NDArray[np.int64]
    """True class, [N]."""
    predicted: NDArray[np.int32]
    """Most probable class, [N]; the first of equals."""
    rank: NDArray[np.int32]
    """Classes that stand before the true one, [N]; 0 is a hit. Of equals the first stands before."""
    confidence: Floats
    """Probability of the predicted class, [N]."""
    nll: Floats
    """Minus the natural logarithm of the true class's probability, [N]; held below 36.1 (probability 2.2e-16)."""
    n_classes: int

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the most probable class is the true one, [N]."""
        return np.equal(self.rank, 0)


def outcome(label: NDArray[np.integer], probabilities: NDArray[np.floating]) -> Outcome:
    """What a trial did, from true classes [N] and class probabilities [N, K] whose rows sum to one."""
    true = np.asarray(label, dtype=np.int64)
    images = np.arange(len(true))
    predicted, of_true = probabilities.argmax(axis=1), probabilities[images, true]
    earlier = np.arange(probabilities.shape[1]) < true[:, None]
    before = (probabilities > of_true[:, None]) | ((probabilities == of_true[:, None]) & earlier)
    floor = np.finfo(np.float64).eps
    return Outcome(
        label=true,
        predicted=predicted.astype(np.int32),
        rank=before.sum(axis=1, dtype=np.int32),
        confidence=probabilities[images, predicted].astype(np.float64),
        nll=-np.log(np.maximum(of_true.astype(np.float64), floor)),
        n_classes=probabilities.shape[1],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient:
    """A metric's derivative at weights one."""

    sums: Floats
    """In the P sums of features, [P]."""
    masses: Floats
    """In the K class masses, [K]."""


class Metric(ABC):
    """A score as a function of sums of features over weighted images and of the classes' masses."""

    higher_is_better = True
    linear = False
    """The value is a weighted mean of one number an image, with class weights that do not move."""

    @abstractmethod
    def features(self, outcome: Outcome) -> Features:
        """What each image adds to the sums, [N, P]."""

    @abstractmethod
    def value(self, sums: Floats, masses: Floats) -> Floats:
        """The score, [...], of sums [..., P] and class masses [..., K]."""

    @abstractmethod
    def gradient(self, sums: Floats, masses: Floats) -> Gradient:
        """The derivative of `value` at sums [P] and masses [K]."""

    def score(self, outcome: Outcome) -> float:
        """The score of a trial."""
        return float(self.value(self.features(outcome).sum(axis=0), class_sizes(outcome)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _ClassMeans(Metric):
    """sum_k W_k mean_{j in k} x_j."""

    quantity: str
    """`top1`, `top3` or `nll`: what x is."""
    class_weight: Floats
    """W, [K]; zero where a class has no image."""
    higher_is_better: bool = True
    linear: bool = True

    @override
    def features(self, outcome: Outcome) -> Features:
        return one_hot(outcome.label, outcome.n_classes, _QUANTITIES[self.quantity](outcome))

    @override
    def value(self, sums: Floats, masses: Floats) -> Floats:
        means = _ratio(sums, masses)
        return np.asarray(means @ self.class_weight)

    @override
    def gradient(self, sums: Floats, masses: Floats) -> Gradient:
        slope = _ratio(self.class_weight, masses)
        return Gradient(sums=slope, masses=-slope * _ratio(sums, masses))


@dataclass(frozen=True, slots=True, kw_only=True)
class _MacroF1(Metric):
    """Mean over the classes that have images of 2 TP / (true + predicted); the sums are TP, then predicted."""

    present: NDArray[np.bool_]
    """Classes with images, [K]."""

    @override
    def features(self, outcome: Outcome) -> Features:
        hits = one_hot(outcome.label, outcome.n_classes, outcome.right)
        predictions = one_hot(outcome.predicted, outcome.n_classes, np.ones(len(outcome.label)))
        return sparse.hstack([hits, predictions], format="csr")

    @override
    def value(self, sums: Floats, masses: Floats) -> Floats:
        return np.asarray(self._by_class(sums, masses)[..., self.present].mean(axis=-1))

    @override
    def gradient(self, sums: Floats, masses: Floats) -> Gradient:
        share = self.present / self.present.sum()
        size = masses + sums[len(masses) :]
        fall = -share * _ratio(self._by_class(sums, masses), size)
        return Gradient(sums=np.concatenate([2 * _ratio(share, size), fall]), masses=fall)

    def _by_class(self, sums: Floats, masses: Floats) -> Floats:
        k = masses.shape[-1]
        return _ratio(2 * sums[..., :k], masses + sums[..., k:])


@dataclass(frozen=True, slots=True, kw_only=True)
class _OverPrediction(Metric):
    """Images predicted as a class over images of it; less is better: it asks whether the class swallows others."""

    chosen: Floats
    """One for the class, zero for all others, [K]."""
    higher_is_better: bool = False

    @override
    def features(self, outcome: Outcome) -> Features:
        said = self.chosen[outcome.predicted]
        return one_hot(np.zeros(len(said), dtype=np.int32), 1, said)

    @override
    def value(self, sums: Floats, masses: Floats) -> Floats:
        return np.asarray(_ratio(sums[..., 0], masses @ self.chosen))

    @override
    def gradient(self, sums: Floats, masses: Floats) -> Gradient:
        size = float(masses @ self.chosen)
        return Gradient(sums=np.array([1 / size]), masses=-self.chosen * sums[0] / size**2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ExpectedCalibrationError(Metric):
    """sum_b |sum_{j in b} (right - confidence)| / N over confidence bins [b/15, (b+1)/15), the last one closed."""

    higher_is_better: bool = False

    @override
    def features(self, outcome: Outcome) -> Features:
        bins = np.minimum((outcome.confidence * N_BINS).astype(np.int32), N_BINS - 1)
        return one_hot(bins, N_BINS, outcome.right - outcome.confidence)

    @override
    def value(self, sums: Floats, masses: Floats) -> Floats:
        return np.asarray(np.abs(sums).sum(axis=-1) / masses.sum(axis=-1))

    @override
    def gradient(self, sums: Floats, masses: Floats) -> Gradient:
        total = masses.sum()
        fall = -float(self.value(sums, masses)) / total
        return Gradient(sums=np.sign(sums) / total, masses=np.full(len(masses), fall))


_QUANTITIES = {
    "top1": lambda outcome: outcome.right,
    "top3": lambda outcome: outcome.rank < 3,
    "nll": lambda outcome: outcome.nll,
}


def metric_named(name: str, *, classes: Sequence[str], sizes: Floats) -> Metric:
    """The metric, for a test set of `sizes` [K] images a class.

    `balanced_accuracy` is the mean recall of the classes that have images, `recall:<class>` one of them;
    `over_prediction:<class>` is how often a class is predicted over how often it occurs.
    Raises MetricError for any other name and for a class without images.
    """
    kind, _, of_class = name.partition(":")
    match kind:
        case "recall" if of_class:
            return _ClassMeans(quantity="top1", class_weight=_only(kind, of_class, classes, sizes))
        case "over_prediction" if of_class:
            return _OverPrediction(chosen=_only(kind, of_class, classes, sizes))
    present = sizes > 0
    by_image = sizes / sizes.sum()
    match name:
        case "top1" | "top3":
            return _ClassMeans(quantity=name, class_weight=by_image)
        case "nll":
            return _ClassMeans(quantity=name, class_weight=by_image, higher_is_better=False)
        case "balanced_accuracy":
            return _ClassMeans(quantity="top1", class_weight=present / present.sum())
        case "macro_f1":
            return _MacroF1(present=present)
        case "ece":
            return _ExpectedCalibrationError()
    raise MetricError(
        f"metric must be one of {', '.join(OVERALL)}, recall:<class> or over_prediction:<class>, got {name!r}"
    )


def mean_recall(chosen: NDArray[np.bool_]) -> Metric:
    """The mean recall of the chosen classes [K], each with images."""
    return _ClassMeans(quantity="top1", class_weight=chosen / chosen.sum())


def overall_scores(label: NDArray[np.integer], probabilities: NDArray[np.floating]) -> Mapping[str, float]:
    """top1, top3, balanced_accuracy, macro_f1, ece and nll of true classes [N] and probabilities [N, K]."""
    return scores(outcome(label, probabilities))


def scores(outcome: Outcome) -> Mapping[str, float]:
    """The metrics of `OVERALL`, by name."""
    sizes = class_sizes(outcome)
    return {name: metric_named(name, classes=(), sizes=sizes).score(outcome) for name in OVERALL}


def class_sizes(outcome: Outcome) -> Floats:
    """Images of each class, [K]."""
    return np.bincount(outcome.label, minlength=outcome.n_classes).astype(np.float64)


def recalls(outcome: Outcome) -> Floats:
    """Share of each class's images that are classified rightly, [K]; nan for a class without images."""
    hits = np.bincount(outcome.label[outcome.right], minlength=outcome.n_classes)
    return _ratio(hits, class_sizes(outcome), empty=np.nan)


def over_predictions(outcome: Outcome) -> Floats:
    """Images predicted as the class over images of the class, [K]; nan for a class without images."""
    return _ratio(np.bincount(outcome.predicted, minlength=outcome.n_classes), class_sizes(outcome), empty=np.nan)


def _only(metric: str, wanted: str, classes: Sequence[str], sizes: Floats) -> Floats:
    """One for the class, zero for all others, [K]."""
    if wanted not in classes:
        raise MetricError(
            f"{metric} must be of a class of the data, got {wanted!r}; the classes are {', '.join(classes)}"
        )
    chosen = np.asarray([name == wanted for name in classes], dtype=np.float64)
    if not sizes @ chosen:
        raise MetricError(f"{metric} must be of a class with test images, {wanted!r} has none")
    return chosen


def one_hot(index: NDArray[np.integer], width: int, values: NDArray[np.generic]) -> Features:
    """`values` [N] in the columns `index` [N], [N, width]."""
    n = len(index)
    return sparse.csr_array((values.astype(np.float64), index, np.arange(n + 1)), shape=(n, width))


def _ratio(above: NDArray[np.generic], below: Floats, *, empty: float = 0.0) -> Floats:
    """The quotient, `empty` where `below` is not above zero."""
    whole = np.broadcast_to(below, np.broadcast_shapes(np.shape(above), np.shape(below)))
    quotient: Floats = np.divide(above, whole, out=np.full(whole.shape, empty), where=whole > 0)
    return quotient
