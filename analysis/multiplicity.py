"""Many arms against one baseline: what holds for all of them at once."""

import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaincinv, ndtr, stdtrit

from analysis.metrics import Floats

_NODES = 161
_FAR = 8.5
"""Normal deviates beyond it have a probability of 2e-17."""
_TAIL = 1e-15
"""Probability of the standard deviations left out at either end."""


def holm(pvalues: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values in the order given (Holm 1979): the family-wise error is held under any dependence."""
    p, n = np.asarray(pvalues, dtype=np.float64), len(pvalues)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(n, 0, -1))
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(stepped, 1.0)
    return tuple(adjusted.tolist())


@functools.lru_cache(maxsize=4096)
def dunnett_quantile(n_comparisons: int, df: float, level: float = 0.95) -> float:
    """The two-sided critical value of `n_comparisons` arms, each compared with one baseline of as many runs.

    With probability `level` no |t| exceeds it where no arm differs (Dunnett 1964, Biometrics 20). `df`, possibly
    infinite, is of the variance that all comparisons share. For one comparison the value is Student's.
    """
    alone = float(stdtrit(df, (1 + level) / 2))
    if n_comparisons == 1:
        return alone
    bonferroni = float(stdtrit(df, 1 - (1 - level) / (2 * n_comparisons)))
    return float(brentq(lambda limit: dunnett_probability(limit, n_comparisons, df) - level, alone, bonferroni))


def dunnett_probability(limit: float, n_comparisons: int, df: float) -> float:
    """P(no |t| exceeds `limit`) where no arm differs; one minus it is the adjusted p of the largest |t|.

    The comparisons correlate at 1/2, by the baseline. Given the common standard deviation, the normal deviates are
    integrated as `_all_within` says; over its logarithm the integrand is smooth and falls fast on both sides, where
    the trapezoidal rule is as good as any (Trefethen and Weideman 2014).
    """
    if math.isinf(df):
        return float(_all_within(np.asarray(limit), n_comparisons))
    low, high = np.log(2 * gammaincinv(df / 2, [_TAIL, 1 - _TAIL]) / df) / 2
    log_sd = np.linspace(low, high, _NODES)
    log_density = df * log_sd - df / 2 * np.exp(2 * log_sd)  # of a chi over the root of its df
    density = np.exp(log_density - log_density.max())
    return float(density @ _all_within(limit * np.exp(log_sd), n_comparisons) / density.sum())


def _all_within(limits: Floats, n_comparisons: int) -> Floats:
    """P(all |x_i - y| <= sqrt(2) limit) of standard normal arms x_i and baseline y, for each of the limits."""
    y = np.linspace(-_FAR, _FAR, _NODES)
    density = np.exp(-(y**2) / 2)
    ends = math.sqrt(2) * limits[..., None]
    within = (ndtr(y + ends) - ndtr(y - ends)) ** n_comparisons
    return np.asarray(within @ density / density.sum())
