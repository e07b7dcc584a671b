"""The bootstrap of a delta over seeds and images, corrected so that its variance is the closed form's.

What seeds and what images do is added, not multiplied (McCullagh 2000; Owen 2007). Images are drawn anew within
their class, scaled to an unbiased variance (Rao and Wu 1988). Seeds are too few to be drawn from, least of all for
many arms at once: each arm's mean moves normally, by the variance that the seeds show, and the whole is spread to
Student's t by a chi square that deltas resting on one estimate share: of seeds alone, Dunnett's distribution.

One pass over the draws serves every arm: replicates of the arms' scores are made once, and every contrast is a
weighted sum of them.
"""

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats
from scipy.special import ndtr, ndtri
from threadpoolctl import threadpool_limits

from analysis.influence import Units
from analysis.metrics import Features, Floats, Metric, Outcome
from analysis.records import Estimand
from analysis.variance import Contrast

_BLOCK_CELLS = 2**24
"""Counts in a block of replicates: 64 MiB of them, whatever B is."""
_FEW_ROWS = 96
"""Replicates of a metric that is scored anew at a time: their weights stay in a core's cache."""
_LEAST_BEYOND = 30
"""Replicates beyond an interval's ends, at least."""
_MOST_ROWS = 1024
"""Replicates in a block, where units are few."""
_RENAMINGS = 16
"""Replicates that share the counts of a large stratum: to draw a count costs several times what its use costs."""
_LARGE = 128
"""Units of a stratum that is large: renamed, it moves two replicates as if they were hardly related."""

Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How often each unit is drawn in a block of replicates."""

    rows: slice
    """Which replicates."""
    values: Singles
    """The counts, [rows, G]."""
    order: NDArray[np.intp]
    """The unit that each column of `values` counts, [G]: of the column's stratum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """How often, and with which randomness, seeds and images are drawn anew."""

    n_resamples: int
    seed: int

    def beyond(self, alpha: float) -> "Draws":
        """The same, and more of them where too few would lie beyond the ends of an interval at 1 - alpha."""
        return Draws(n_resamples=max(self.n_resamples, math.ceil(_LEAST_BEYOND / alpha)), seed=self.seed)

    def stream(self, *words: str) -> np.random.Generator:
        """The generator of one named part of the draws: no part depends on what else is drawn."""
        return np.random.default_rng([self.seed, *(zlib.crc32(word.encode()) for word in words)])


def deviations(
    contrasts: Sequence[Contrast], of_images: Mapping[str, Floats], draws: Draws, *, estimand: Estimand
) -> Floats:
    """What each contrast's replicates add to it, [B, C]; for a linear metric Var is `Contrast.total(estimand)`.

    Args:
        contrasts: the C contrasts.
        of_images: what drawing images anew adds to each arm's mean score, [B] an arm (`linear_image_deviations`,
            `exact_image_deviations`).
        draws: the same as those that `of_images` was made with.
        estimand: the population that the interval speaks for.
    """
    moved = np.zeros((draws.n_resamples, len(contrasts)))
    if estimand != "seeds":
        _add_images(moved, contrasts, of_images, _image_shares(contrasts, estimand))
    if estimand != "images":
        for column, c in zip(moved.T, contrasts, strict=True):
            column += seed_deviations(c, draws)
    return moved


def _add_images(
    moved: Floats, contrasts: Sequence[Contrast], of_images: Mapping[str, Floats], shares: Floats
) -> None:
    """Add to moved [B, C] what drawing images anew does to each contrast, times its share.

    Contrasts of one arm each, such as every class's recall of every arm, may be thousands: a matrix of them by all
    that they are of would hold little but noughts.
    """
    if all(len(c.coefficients) == 1 for c in contrasts):
        for column, c, share in zip(moved.T, contrasts, shares.tolist(), strict=True):
            ((arm, weight),) = c.coefficients.items()
            column += of_images[arm] * (weight * share)
        return
    arms = list(of_images)
    weights = np.asarray([[c.coefficients.get(arm, 0.0) for c in contrasts] for arm in arms])
    moved += np.stack([of_images[arm] for arm in arms], axis=1) @ (weights * shares)


def widened(moved: Floats, contrasts: Sequence[Contrast], draws: Draws, *, estimand: Estimand) -> Floats:
    """Deviations [B, C] spread from normal to Student's t, by sqrt(df / chi^2) of each contrast's df.

    Contrasts whose seeds' parts rest on one estimate share the chi square's quantile: where that estimate is too
    small, it is too small for all of them.
    """
    spread = moved.copy()
    for column, c in zip(spread.T, contrasts, strict=True):
        df = c.total(estimand).df
        if math.isfinite(df):
            estimate = c.parts[0].estimate if c.parts and estimand != "images" else "images"
            ranks = draws.stream("widening", estimate).permutation(draws.n_resamples)
            column *= 1 / np.sqrt(_mean_squares(df, draws.n_resamples)[ranks])
    return spread


def linear_image_deviations(influence: Floats, units: Units, draws: Draws) -> Floats:
    """sum_g sqrt(G/(G-1)) (w_g - 1) u_g of each row of influence [M, G], [M, B]; u is centred within strata."""
    return drawn_sums(influence * np.sqrt(units.inflation), units, draws)


def drawn_sums(values: Floats, units: Units, draws: Draws) -> Floats:
    """sum_g w_g v_g of each row of values [M, G], [M, B]."""
    columns = values.T.astype(np.float32)
    sums = np.empty((draws.n_resamples, len(values)), dtype=np.float32)
    # More threads would wait for the draws most of the time, and those of BLAS spin while they wait.
    with threadpool_limits(1, user_api="blas"):
        for counts in image_counts(units, draws):
            sums[counts.rows] = counts.values @ columns[counts.order]
    return np.ascontiguousarray(sums.T, dtype=np.float64)


def exact_image_deviations(
    metric: Metric, outcomes: Mapping[str, Sequence[Outcome]], units: Units, draws: Draws
) -> dict[str, Floats]:
    """The mean score of each arm's runs at weights 1 + sqrt(G/(G-1)) (w - 1), minus its mean over replicates, [B].

    The mean goes because a bootstrap adds its bias once more to a score that is not linear; the delta stays the
    centre.
    """
    masses, stretch = _stacked([units.masses]), np.sqrt(units.inflation).astype(np.float32)[:, None]
    sums = {arm: _stacked([units.totals(metric.features(run)) for run in runs]) for arm, runs in outcomes.items()}
    means = {arm: np.empty(draws.n_resamples) for arm in outcomes}
    for rows, counts in unit_counts(units, draws):
        weights = 1 + stretch * (counts - 1)
        of_masses = (masses @ weights).T.astype(np.float64)
        for arm, runs in outcomes.items():
            of_runs = (sums[arm] @ weights).reshape(len(runs), -1, weights.shape[1]).swapaxes(1, 2)
            means[arm][rows] = metric.value(of_runs.astype(np.float64), of_masses).mean(axis=0)
    return {arm: of_arm - of_arm.mean() for arm, of_arm in means.items()}


def unit_counts(units: Units, draws: Draws) -> Iterator[tuple[slice, Singles]]:
    """The same as `image_counts`, the units in their own order, [G, rows], and a few replicates at a time."""
    for counts in image_counts(units, draws):
        column = np.argsort(counts.order)
        for start in range(0, len(counts.values), _FEW_ROWS):
            few = counts.values[start : start + _FEW_ROWS]
            first = counts.rows.start + start
            yield slice(first, first + len(few)), np.ascontiguousarray(few.T[column])


def image_counts(units: Units, draws: Draws) -> Iterator[Counts]:
    """How often each unit is drawn when each stratum draws as many as it has, block by block of replicates.

    Sixteen replicates share the counts of a large stratum, each with its units renamed at random. A count is as
    likely to fall to any unit, so every replicate is an exact draw, and two that share counts are uncorrelated. A
    block is valid until the next one is asked for.
    """
    rng, n_sets = draws.stream("images"), math.ceil(draws.n_resamples / _RENAMINGS)
    orders = [np.argsort(units.stratum + rng.random(units.n_units)) for _ in range(_RENAMINGS)]
    step = min(_MOST_ROWS, max(1, _BLOCK_CELLS // units.n_units))
    for start in range(0, n_sets, step):
        values = np.empty((min(step, n_sets - start), units.n_units), dtype=np.float32)
        _fill(values, units, rng, large=True)
        for first, order in zip(range(start, draws.n_resamples, n_sets), orders, strict=False):
            _fill(values, units, rng, large=False)
            n_rows = min(len(values), draws.n_resamples - first)
            yield Counts(rows=slice(first, first + n_rows), values=values[:n_rows], order=order)


def _fill(values: Singles, units: Units, rng: np.random.Generator, *, large: bool) -> None:
    """Draw the counts of the strata that are large, or of those that are not, into values [rows, G]."""
    for stop, size in zip(np.cumsum(units.sizes).tolist(), units.sizes.tolist(), strict=True):
        if (size >= _LARGE) == large:
            values[:, stop - size : stop] = _multinomial(rng, len(values), size)


def _multinomial(rng: np.random.Generator, n_rows: int, size: int) -> NDArray[np.int64]:
    """Counts of `size` draws from `size` equals, [rows, size]."""
    narrow = np.uint16 if size <= np.iinfo(np.uint16).max else np.int64
    drawn = rng.integers(0, size, (n_rows, size), dtype=narrow) + size * np.arange(n_rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=n_rows * size).reshape(n_rows, size)


def _stacked(sums: Sequence[Features]) -> "sparse.csr_array[np.float32, tuple[int, int]]":
    """Sums [G, P] of each run, one below the other, [R P, G]."""
    return sparse.csr_array(sparse.hstack(sums, dtype=np.float32).T)


def _mean_squares(df: float, n: int) -> Floats:
    """Quantiles of chi^2 / df at (i + 1/2) / n, [n]; its cube root is nearly normal (Wilson and Hilferty 1931).

    Interpolated on that root from 257 of them, since each takes half a microsecond: to a relative 2e-3 at df 1,
    1e-4 at df 4.
    """
    z = ndtri((np.arange(n) + 0.5) / n)
    nodes = np.linspace(z[0], z[-1], 257)
    roots = np.cbrt(stats.chi2.ppf(ndtr(nodes), df) / df)
    return np.asarray(np.interp(z, nodes, roots) ** 3)


def _image_shares(contrasts: Sequence[Contrast], estimand: Estimand) -> Floats:
    """The factor on each contrast's image part, [C], that takes the residual out where the seeds' part has it."""
    if estimand == "images":
        return np.ones(len(contrasts))
    return np.asarray([math.sqrt(c.img_alone / c.img.variance) if c.img.variance > 0 else 0.0 for c in contrasts])


def seed_deviations(c: Contrast, draws: Draws) -> Floats:
    """What other seeds would add to a contrast, [B]: normal, an arm's the same in every contrast that it enters."""
    moved = np.zeros(draws.n_resamples)
    for part in c.parts:
        moved += part.scale * draws.stream("seeds", part.key).standard_normal(draws.n_resamples)
    return moved
