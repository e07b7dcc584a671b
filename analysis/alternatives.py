"""Intervals that dermtune does not use, kept to be compared with: what others do, and what the choice rests on."""

import math

import numpy as np

from analysis.influence import Measured, Units
from analysis.metrics import Floats
from analysis.noise import Term
from analysis.resampling import Draws, drawn_sums
from analysis.variance import Contrast, Interval, t_interval


def seed_t(differences: Measured, level: float = 0.95) -> Interval:
    """Student's t over the seeds' deltas: it speaks for new seeds, and takes this test set for the population."""
    n = len(differences.scores)
    variance = Term(variance=float(differences.scores.var(ddof=1)) / n, df=n - 1)
    return t_interval(float(differences.scores.mean()), variance, level)


def seed_percentile(differences: Measured, draws: Draws, level: float = 0.95) -> Interval:
    """Percentiles of the mean of seeds drawn anew (rliable's, without its strata of tasks)."""
    n = len(differences.scores)
    times = draws.stream("seed percentile").multinomial(n, np.full(n, 1 / n), size=draws.n_resamples)
    return percentile_interval(times @ differences.scores / n, level)


def replicate_plainly(differences: Measured, units: Units, draws: Draws) -> Floats:
    """Replicates of a paired delta by the plain multi-bootstrap, [B]: weights of seeds and of units multiply.

    Its variance is too small in the seeds and counts the residual about three times (`plain_variance`).
    """
    return plainly_weighted(differences, drawn_sums(differences.influence, units, draws), draws)


def plainly_weighted(differences: Measured, of_runs: Floats, draws: Draws) -> Floats:
    """The same, [B], from what drawing images anew adds to each run's delta, [R, B]."""
    n = len(differences.scores)
    times = draws.stream("plain").multinomial(n, np.full(n, 1 / n), size=draws.n_resamples) / n
    return np.asarray((times * (differences.scores + of_runs.T)).sum(axis=1))


def plain_variance(differences: Measured) -> float:
    """The plain multi-bootstrap's exact variance, from scores [R] and influence [R, G]."""
    n = len(differences.scores)
    mean = differences.influence.mean(axis=0)
    return (
        float(differences.scores.var()) / n
        + float((mean**2).sum())
        + float(((differences.influence - mean) ** 2).sum()) / n**2
    )


def replicate_additively(c: Contrast, differences: Measured, units: Units, draws: Draws) -> Floats:
    """Replicates of a paired delta whose weights of seeds and of units add, [B]; Var is the closed form's.

    Three seeds give ten different draws: fit for one delta at the most, not for many arms at once.
    """
    n = len(differences.scores)
    times = draws.stream("additive").multinomial(n, np.full(n, 1 / n), size=draws.n_resamples)
    of_seeds = times @ (differences.scores - differences.scores.mean()) / math.sqrt(n * (n - 1))
    share = math.sqrt(c.img_alone / c.img.variance) if c.img.variance else 0.0
    scaled = differences.influence.mean(axis=0) * np.sqrt(units.inflation) * share
    (of_images,) = drawn_sums(scaled[None], units, draws)
    return np.asarray(c.delta + of_seeds + of_images)


def percentile_interval(replicates: Floats, level: float) -> Interval:
    """The central interval that holds `level` of the replicates."""
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high))
