"""How far a classifier's confidence and its accuracy lie apart, from probabilities and from outcomes."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.findings.calibration import CalibrationErrors, ConfidenceBin
from analysis.metrics import N_BINS, Floats, Outcome, class_sizes, metric_named, outcome


def calibration_errors(label: NDArray[np.integer], probabilities: Floats) -> CalibrationErrors:
    """ECE in three forms, and NLL, of true classes [N] and probabilities [N, K]."""
    seen = outcome(label, probabilities)
    ece = metric_named("ece", classes=(), sizes=class_sizes(seen)).score(seen)
    return CalibrationErrors(
        ece=ece,
        ece_equal_mass=equal_mass_error(seen.confidence, seen.right),
        ece_classwise=classwise_error(label, probabilities),
        nll=float(seen.nll.mean()),
    )


def equal_mass_error(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """sum_b |sum_{j in b} (right - confidence)| / N over bins between the 15-quantiles of confidence.

    Equal confidences stay in one bin (Nixon et al. 2019, arXiv:1904.01685).
    """
    inner = np.quantile(confidence, np.arange(1, N_BINS) / N_BINS)
    return float(np.abs(np.bincount(np.searchsorted(inner, confidence), right - confidence)).sum() / len(right))


def classwise_error(label: NDArray[np.integer], probabilities: Floats) -> float:
    """The ECE of each class's probability, in 15 bins of equal width, mean over classes.

    Kull et al. 2019, arXiv:1910.12656.
    """
    k = probabilities.shape[1]
    gaps = np.arange(k) == label[:, None]
    bins = np.minimum((probabilities * N_BINS).astype(np.int64), N_BINS - 1) + N_BINS * np.arange(k)
    off: Floats = np.abs(np.bincount(bins.ravel(), (gaps - probabilities).ravel()))
    return math.fsum(off) / probabilities.size


def confidence_bins(outcomes: Sequence[Outcome]) -> tuple[ConfidenceBin, ...]:
    """A reliability diagram's 15 bins, the images of all runs pooled; confidence 1 lies in the last one."""
    confidence = np.concatenate([run.confidence for run in outcomes])
    right = np.concatenate([run.right for run in outcomes])
    bins = np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)
    n = np.bincount(bins, minlength=N_BINS)
    confident, correct = (np.bincount(bins, values, minlength=N_BINS) for values in (confidence, right))
    return tuple(
        ConfidenceBin(
            low=b / N_BINS,
            high=(b + 1) / N_BINS,
            n_images=int(n[b]),
            confidence=float(confident[b] / n[b]) if n[b] else None,
            accuracy=float(correct[b] / n[b]) if n[b] else None,
        )
        for b in range(N_BINS)
    )
