"""Intervals and p-values of a family of contrasts, all from the same replicates: none contradicts another.

The simultaneous interval is the contrast's own, wider by one factor for all: the family's largest deviation, each
in units of its own half-width, stays below that factor in 95% of the replicates. Where seeds alone count, that is
Dunnett's interval (1955). p-values of the family step down (Westfall and Young 1993; Romano and Wolf 2005,
Econometrica 73).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.metrics import Floats
from analysis.multiplicity import holm
from analysis.variance import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """What the replicates say of one contrast."""

    alone: Interval
    """Interval of this contrast by itself, at the family's level."""
    narrow: Interval
    """The same at twice the error: two one-sided tests (Schuirmann 1987)."""
    simultaneous: Interval
    """Interval that holds for the whole family at once."""
    widening: float
    """Half-width of `simultaneous` over that of `alone`; the same for all of the family."""
    p_value: float
    """Two-sided, of this contrast by itself."""
    p_adjusted: float
    """Of the family: max-t with step-down."""
    p_holm: float
    """Holm's, its check."""


def infer(deltas: Sequence[float], moved: Floats, *, level: float = 0.95) -> list[Inference]:
    """What follows for C contrasts from their deviations [B, C], at a confidence `level`."""
    if not deltas:
        return []
    below, above = np.abs(np.quantile(moved, [(1 - level) / 2, (1 + level) / 2], axis=0))
    less, more = np.abs(np.quantile(moved, [1 - level, level], axis=0))
    seen = _half_widths(-np.asarray(deltas)[None, :], below, above)[0]  # what would undo a gain is a fall
    drawn = _half_widths(moved, below, above)
    widening = max(1.0, float(np.quantile(drawn.max(axis=1), level)))
    p_values = [_share(drawn[:, c] >= of_c) for c, of_c in enumerate(seen)]
    adjusted = _stepped_down(seen, drawn)
    return [
        Inference(
            alone=_around(delta, below[c], above[c]),
            narrow=_around(delta, less[c], more[c]),
            simultaneous=_around(delta, widening * below[c], widening * above[c]),
            widening=widening,
            p_value=p_values[c],
            p_adjusted=adjusted[c],
            p_holm=of_holm,
        )
        for c, (delta, of_holm) in enumerate(zip(deltas, holm(p_values), strict=True))
    ]


def _around(delta: float, below: float, above: float) -> Interval:
    return Interval(low=float(delta - below), high=float(delta + above))


def _half_widths(values: Floats, below: Floats, above: Floats) -> Floats:
    """Sizes of values [..., C] in units of the half-width on their side, [C]; infinite where that is nought."""
    half = np.where(values < 0, below, above)
    beyond = np.where(values == 0, 0.0, np.inf)
    return np.asarray(np.divide(np.abs(values), half, out=beyond, where=half > 0))


def _stepped_down(seen: Floats, drawn: Floats) -> list[float]:
    """From the strongest on: how often the largest of the contrasts not yet passed is as large by chance."""
    order = np.argsort(-seen, kind="stable")
    as_large, largest = np.empty(len(seen)), np.zeros(len(drawn))
    for place in reversed(range(len(order))):
        c = order[place]
        largest = np.maximum(largest, drawn[:, c])
        as_large[place] = _share(largest >= seen[c])
    adjusted = np.empty(len(seen))
    adjusted[order] = np.maximum.accumulate(as_large)
    return adjusted.tolist()


def _share(as_large: NDArray[np.bool_]) -> float:
    """The p-value of a test by replicates, never nought: (1 + count) / (B + 1)."""
    return (1 + int(as_large.sum())) / (len(as_large) + 1)
