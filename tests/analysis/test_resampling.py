"""The draws of the test images: exact each, and as good as drawn one by one although many share their counts."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from analysis.influence import Units, units_of
from analysis.resampling import Draws, drawn_sums, image_counts, unit_counts

Sums = Callable[[NDArray[np.float64], Units, Draws], NDArray[np.float64]]


def strata(*sizes: int) -> Units:
    label = np.repeat(np.arange(len(sizes)), sizes)
    return units_of(label, np.char.zfill(np.arange(len(label)).astype(str), 6), len(sizes))


def counts_of(units: Units, n_resamples: int, seed: int = 0) -> NDArray[np.float64]:
    """How often each unit is drawn in each replicate, [B, G]."""
    counts = np.full((n_resamples, units.n_units), np.nan)
    for rows, some in unit_counts(units, Draws(n_resamples=n_resamples, seed=seed)):
        counts[rows] = some.T
    return counts


def one_by_one(values: NDArray[np.float64], units: Units, draws: Draws) -> NDArray[np.float64]:
    """numpy's multinomial counts, each replicate by itself."""
    rng = np.random.default_rng(draws.seed)
    counts = [rng.multinomial(n, np.full(n, 1 / n), size=draws.n_resamples) for n in units.sizes]
    return np.asarray(values @ np.concatenate(counts, axis=1).T)


@pytest.mark.parametrize("n_resamples", [1, 7, 16, 1003, 25_000])
def test_every_replicate_draws_as_many_of_each_stratum_as_it_has(n_resamples):
    units = strata(300, 12, 2)
    counts = counts_of(units, n_resamples)
    for stratum, size in enumerate(units.sizes):
        assert (counts[:, units.stratum == stratum].sum(axis=1) == size).all()


@pytest.mark.parametrize("size", [3, 40, 400])
def test_a_units_count_is_binomial(size):
    """In each of sixteen replicates, sharing their counts or not: the chi-square of one unit's over many passes."""
    units = strata(size, 5)
    counts = np.stack([counts_of(units, 16, seed)[:, size // 2] for seed in range(500)])
    for replicate in counts.T:
        seen = np.bincount(replicate.astype(int).clip(max=3), minlength=4)
        cut = stats.binom(size, 1 / size)
        expected = 500 * np.append(cut.pmf([0, 1, 2]), cut.sf(2))
        assert stats.chisquare(seen[expected > 0], expected[expected > 0]).pvalue > 1e-4


def test_replicates_that_share_their_counts_are_uncorrelated():
    """numpy's correlations of each pair of sixteen over 1,000 passes; the largest of 120 may reach 4 errors."""
    units, values = strata(200), np.random.default_rng(0).exponential(size=(1, 200))
    sums = np.stack([drawn_sums(values, units, Draws(n_resamples=16, seed=seed))[0] for seed in range(1000)])
    correlations = np.corrcoef(sums.T)[np.triu_indices(16, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(1000)


@pytest.mark.parametrize("sizes", [(128,), (400, 130), (300, 128, 20, 5)])
def test_interval_ends_from_shared_counts_are_as_exact_as_from_counts_drawn_one_by_one(sizes):
    """The Monte Carlo variance of both ends and of the variance is that of as many independent replicates."""
    units = strata(*sizes)
    skewed = np.random.default_rng(1).exponential(size=units.n_units)
    values = (units.centred(skewed) / units.sizes[units.stratum])[None]

    def errors(sums: Sums) -> NDArray[np.float64]:
        found = [sums(values, units, Draws(n_resamples=200, seed=seed))[0] for seed in range(500)]
        ends = np.quantile(found, [0.025, 0.975], axis=1)
        return np.asarray([*ends, np.var(found, axis=1)]).var(axis=1)

    assert errors(drawn_sums) / errors(one_by_one) == pytest.approx(1, abs=0.4)  # standard error .09


def test_blocks_are_no_larger_for_more_replicates():
    units = strata(3000, 100)
    few, many = (
        max(c.values.nbytes for c in image_counts(units, Draws(n_resamples=n, seed=0))) for n in (16_384, 200_000)
    )
    assert few == many
