"""The bootstrap of a delta over seeds and images, corrected so that its variance is the closed form's.

Weights of seeds and of images add instead of multiplying, images are drawn within their class, and each part is
scaled to an unbiased variance (McCullagh 2000; Owen 2007; Rao and Wu 1988). Draws are shared by all comparisons, so
their joint distribution is there for whoever needs it.
"""

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.influence import Measured, Units
from analysis.metrics import Floats, Metric, Outcome
from analysis.records import Estimand
from analysis.variance import Contrast, Interval, SeedPart

_BLOCK_CELLS = 2**21
"""Weights in one block of replicates: memory stays the same however many replicates there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """How often, and with which randomness, seeds and images are drawn anew."""

    n_resamples: int
    seed: int

    def stream(self, *words: str) -> np.random.Generator:
        """The generator of one named part of the draws: no part depends on what else is drawn."""
        return np.random.default_rng([self.seed, *(zlib.crc32(word.encode()) for word in words)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reevaluated:
    """A metric that is not linear, with the predictions to evaluate it on in each replicate."""

    metric: Metric
    outcomes: Mapping[str, Sequence[Outcome]]
    """Each arm's outcomes, a seed each."""


def replicate(
    contrasts: Sequence[Contrast],
    units: Units,
    draws: Draws,
    *,
    estimand: Estimand,
    exactly: Reevaluated | None = None,
) -> Floats:
    """Replicates of each delta, [B, C], around the delta; for a linear metric Var is `Contrast.total(estimand)`.

    `exactly` evaluates a metric that is not linear on the resampled images; without it the delta is linearised.
    """
    replicates = np.tile([c.delta for c in contrasts], (draws.n_resamples, 1))
    if estimand != "seeds":
        shares = _image_shares(contrasts, estimand)
        if exactly is None:
            replicates += _linear_image_deviations(contrasts, shares, units, draws)
        else:
            replicates += _exact_image_deviations(contrasts, shares, units, draws, exactly)
    if estimand != "images":
        replicates += _seed_deviations(contrasts, draws)
    return replicates


def replicate_plainly(differences: Measured, units: Units, draws: Draws) -> Floats:
    """Replicates of a paired delta by the plain multi-bootstrap, [B], kept for comparison.

    Weights of seeds and of units multiply. Its variance is too small in the seeds and counts the residual about
    three times (`plain_variance`): do not judge by it.
    """
    n = len(differences.scores)
    times = draws.stream("plain").multinomial(n, np.full(n, 1 / n), size=draws.n_resamples) / n
    moved = [counts @ differences.influence.T for counts in _image_counts(units, draws)]
    return np.asarray((times * (differences.scores + np.concatenate(moved))).sum(axis=1))


def plain_variance(differences: Measured) -> float:
    """The plain multi-bootstrap's exact variance, from scores [R] and influence [R, G]."""
    n = len(differences.scores)
    mean = differences.influence.mean(axis=0)
    return (
        float(differences.scores.var()) / n
        + float((mean**2).sum())
        + float(((differences.influence - mean) ** 2).sum()) / n**2
    )


def stretched(replicates: Floats, delta: float, df: float) -> Floats:
    """Replicates [B], ascending, their distances from `delta` widened from normal to t quantiles, each at its rank.

    An interval at any level, and the p-value, read from them are those of half-widths stretched by t/z at that
    level, so they never contradict one another.
    """
    distances = np.sort(replicates) - delta
    ranks = (np.arange(len(distances)) + 0.5) / len(distances)
    if math.isfinite(df):
        z, t = stats.norm.ppf(ranks), stats.t.ppf(ranks, df)
        distances *= np.divide(t, z, out=np.ones_like(z), where=z != 0)
    return np.asarray(delta + distances)


def percentile_interval(stretched: Floats, level: float) -> Interval:
    """The central interval that holds `level` of the stretched replicates."""
    low, high = np.quantile(stretched, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high))


def pvalue(stretched: Floats) -> float:
    """Two-sided p of no difference: (1 + 2 min(at most 0, at least 0)) / (B + 1), at most 1 and never 0."""
    count = 2 * min(int((stretched <= 0).sum()), int((stretched >= 0).sum()))
    return min(1.0, (1 + count) / (len(stretched) + 1))


def _image_shares(contrasts: Sequence[Contrast], estimand: Estimand) -> Floats:
    """The factor on each delta's image part, [C], that takes the residual out where the seeds' part has it."""
    if estimand == "images":
        return np.ones(len(contrasts))
    return np.asarray([math.sqrt(c.img_alone / c.img.variance) if c.img.variance > 0 else 0.0 for c in contrasts])


def _linear_image_deviations(contrasts: Sequence[Contrast], shares: Floats, units: Units, draws: Draws) -> Floats:
    """Each delta's lambda sum_g sqrt(G/(G-1)) (w_g - 1) u_g, [B, C]; u sums to zero in each stratum."""
    columns = np.stack([c.influence * np.sqrt(units.inflation) for c in contrasts], axis=1) * shares
    return np.concatenate([counts @ columns for counts in _image_counts(units, draws)])


def _exact_image_deviations(
    contrasts: Sequence[Contrast], shares: Floats, units: Units, draws: Draws, exactly: Reevaluated
) -> Floats:
    """The deltas at weights 1 + lambda sqrt(G/(G-1)) (w - 1), minus their mean over replicates, [B, C].

    The mean goes because a bootstrap adds its bias once more to a score that is not linear; the delta stays the
    centre.
    """
    masses = units.totals(np.eye(len(units.class_sizes))[units.label])
    sums = {
        arm: [units.totals(exactly.metric.features(outcome)) for outcome in outcomes]
        for arm, outcomes in exactly.outcomes.items()
    }

    def scores(arm: str, share: float, moved: Floats) -> Floats:
        weighted_masses = masses.sum(axis=0) + share * (moved @ masses)
        values = [exactly.metric.value(s.sum(axis=0) + share * (moved @ s), weighted_masses) for s in sums[arm]]
        return np.asarray(np.mean(values, axis=0))

    blocks = []
    for counts in _image_counts(units, draws):
        moved = (counts - 1) * np.sqrt(units.inflation)
        blocks.append(
            np.stack(
                [
                    scores(c.arm, s, moved) - scores(c.baseline, s, moved)
                    for c, s in zip(contrasts, shares, strict=True)
                ],
                axis=1,
            )
        )
    replicates = np.concatenate(blocks)
    return np.asarray(replicates - replicates.mean(axis=0))


def _image_counts(units: Units, draws: Draws) -> Iterator[Floats]:
    """How often each unit is drawn when each stratum draws as many as it has, [block, G], in blocks."""
    rng, n = draws.stream("images"), units.n_units
    starts = np.cumsum(units.sizes) - units.sizes
    step = max(1, _BLOCK_CELLS // n)
    for done in range(0, draws.n_resamples, step):
        rows = min(step, draws.n_resamples - done)
        drawn = np.empty((rows, n), dtype=np.int64)
        for start, size in zip(starts, units.sizes, strict=True):
            drawn[:, start : start + size] = rng.integers(start, start + size, (rows, size), dtype=np.int32)
        drawn += n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _seed_deviations(contrasts: Sequence[Contrast], draws: Draws) -> Floats:
    """What other seeds would add to each delta, [B, C]."""
    columns = np.zeros((len(contrasts), draws.n_resamples))
    for column, c in zip(columns, contrasts, strict=True):
        for part in c.parts:
            column += _part_deviations(part, draws)
    return columns.T


def _part_deviations(part: SeedPart, draws: Draws) -> Floats:
    """sqrt(R/(R-1)) sum_i (s_i - 1/R) D_i with s multinomial, [B]; normal where the noise is assumed."""
    rng, n = draws.stream("seeds", part.key), len(part.deviations)
    if part.assumed:
        return np.asarray(part.deviations * rng.standard_normal(draws.n_resamples))
    times = rng.multinomial(n, np.full(n, 1 / n), size=draws.n_resamples)
    return np.asarray(times @ part.deviations) / math.sqrt(n * (n - 1))
