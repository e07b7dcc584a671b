"""Answer, show three, or abstain: thresholds on the confidence for a stated risk, and what they cost.

A threshold is the end of a fixed sequence of tests (Learn then Test: Angelopoulos et al. 2021, arXiv:2110.01052,
section 4; the risk and its bound are those of Geifman and El-Yaniv 2017, arXiv:1705.08500). The hypothesis at a
threshold is that the risk above it exceeds the stated one. Every confidence of val is tested, from the highest
down, until one is not rejected; the last one that is becomes the threshold. The first hypothesis that is true
stands where the risk crosses the stated one, and it is rejected with probability 1 - LEVEL at most: the search
needs no correction.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.metrics import Floats

Mask = NDArray[np.bool_]

LEVEL = 0.95
"""Confidence that the risk stays within the stated one."""


def lowest_threshold(
    confidence: Floats, wrong: Mask, group: NDArray[np.int64], *, risk: float, below: float = np.inf
) -> float | None:
    """The lowest confidence above which the risk stays within `risk`, at confidence LEVEL; None if there is none.

    A group counts once: as wrong where any of its images at or above the threshold is. Groups are independent, so
    the number of wrong ones is binomial, and the exact test is Clopper and Pearson's bound.

    Args:
        confidence: of each val image, [N].
        wrong: whether what would be said of it is wrong, [N].
        group: number of the lesion, patient or case of each image, [N].
        risk: share of wrong groups that is allowed, in (0, 1).
        below: images at or above it are of a higher tier and do not count.
    """
    order = np.argsort(-confidence, kind="stable")
    order = order[confidence[order] < below]
    level, seen = confidence[order], group[order]
    n_groups, n_wrong = _first_of(seen, np.ones(len(seen), dtype=bool)), _first_of(seen, wrong[order])
    tested = np.append(level[1:] < level[:-1], True)[: len(level)] & (n_groups >= first_tested(risk, len(level)))
    passes = rejects(n_wrong[tested], n_groups[tested], risk)
    n_passed = int(np.logical_and.accumulate(passes).sum())
    return float(level[tested][n_passed - 1]) if n_passed else None


def rejects(n_wrong: NDArray[np.integer], n: NDArray[np.integer], risk: float) -> Mask:
    """Whether so few wrong ones of n rule out more than `risk`: Clopper and Pearson's bound is at most `risk`."""
    return np.asarray(special.bdtr(n_wrong.astype(np.float64), n, risk) <= 1 - LEVEL)


def first_tested(risk: float, most: int) -> int:
    """The fewest groups that a threshold is tested with: those of which half the stated risk would pass.

    Fewer could pass with hardly an error, and the one error that ends the search there would end it for all that
    lie below. It depends on the stated risk alone. One more than `most` where so many are not enough.
    """
    n = np.arange(1, most + 1)
    passing = n[rejects(np.floor(risk / 2 * n).astype(np.int64), n, risk)]
    return int(passing[0]) if len(passing) else most + 1


def aurc(confidence: Floats, wrong: Mask) -> float:
    """Area under the risk-coverage curve: the mean over i of the error of the i most confident images.

    Geifman, Uziel and El-Yaniv 2019, arXiv:1805.08206. Of equal confidences it is the mean over their orders.
    """
    return float((wrong * _aurc_weights(confidence)).mean())


def aurc_values(confidence: Floats, wrong: Mask) -> Floats:
    """One number an image, [N], whose mean is the AURC and whose spread is the AURC's influence function.

    An image adds its own error, and where it is confident it dilutes the error of all that are less so.
    """
    _, place = np.unique(confidence, return_inverse=True)
    of_place = np.bincount(place, wrong)
    at_or_above = np.bincount(place)[::-1].cumsum()[::-1]
    diluted = np.cumsum(of_place / at_or_above)[place]
    return np.asarray(wrong * _aurc_weights(confidence) - diluted + wrong.mean())


def risk_values(answered: Mask, wrong: Mask) -> Floats:
    """The same of the error of what is answered, [N]; some image must be."""
    risk = float(wrong[answered].mean())
    return np.asarray(risk + answered * (wrong - risk) / answered.mean())


def errors_at(coverage: Floats, confidence: Floats, wrong: Mask) -> Floats:
    """Error of the most confident images, at these shares of all images in (0, 1]; equals share their errors."""
    _, place, n = np.unique(-confidence, return_inverse=True, return_counts=True)
    shared = (np.bincount(place, wrong) / n)[np.sort(place)]
    k = np.ceil(coverage * len(wrong) - 1e-9).astype(np.int64)
    return np.asarray(shared.cumsum()[k - 1] / k)


def _aurc_weights(confidence: Floats) -> Floats:
    """sum_{i = r}^N 1/i of the image at rank r, [N]; equals share the mean of theirs."""
    ranked = np.cumsum(1 / np.arange(len(confidence), 0, -1))[::-1]
    _, place, n = np.unique(-confidence, return_inverse=True, return_counts=True)
    return np.asarray((np.bincount(np.sort(place), ranked) / n)[place])


def _first_of(seen: NDArray[np.int64], counts: Mask) -> NDArray[np.int64]:
    """Groups that have had an image that counts, up to each image, [N]."""
    images = np.flatnonzero(counts)
    _, first = np.unique(seen[images], return_index=True)
    arrived = np.zeros(len(seen), dtype=np.int64)
    arrived[images[first]] = 1
    return arrived.cumsum()
