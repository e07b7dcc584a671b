"""Intervals and p-values of many arms at once, checked against Dunnett's test and what dependence must do."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis.inference import infer
from analysis.influence import Measured, units_of
from analysis.multiplicity import holm
from analysis.noise import seed_noise
from analysis.resampling import Draws, _mean_squares, deviations, widened
from analysis.variance import contrast

B = 40_000


def of_seeds_alone(runs, *, n_resamples=B):
    """Deltas of arms whose images say nothing, inferred as one family; the first arm is the baseline."""
    arms = [
        Measured(arm=f"arm{a}", seeds=seeds, scores=np.asarray(scores), influence=np.zeros((len(scores), 4)))
        for a, (seeds, scores) in enumerate(runs)
    ]
    units = units_of(np.zeros(4, dtype=np.int64), np.arange(4).astype(str), 1)
    noise, draws = seed_noise(arms, run_sd=0.006), Draws(n_resamples=n_resamples, seed=3)
    contrasts = [contrast(arm.arm, {arm.arm: 1.0, "arm0": -1.0}, noise, units) for arm in arms[1:]]
    moved = widened(deviations(contrasts, {}, draws, estimand="seeds"), contrasts, draws, estimand="seeds")
    return contrasts, infer([c.delta for c in contrasts], moved)


def unpaired(*, gains=(0.0, 1.4, 0.6, -0.3), n_seeds=5, rng_seed=1):
    """Runs of arms that share no seed."""
    rng = np.random.default_rng(rng_seed)
    return [
        (tuple(range(10 * a, 10 * a + n_seeds)), gain + rng.normal(size=n_seeds)) for a, gain in enumerate(gains)
    ]


def test_of_seeds_alone_the_widening_is_dunnetts():
    runs = unpaired()
    _, inferred = of_seeds_alone(runs)
    there = stats.dunnett(*(scores for _, scores in runs[1:]), control=runs[0][1], rng=np.random.default_rng(0))
    interval = there.confidence_interval(0.95)
    for i, low, high in zip(inferred, interval.low, interval.high, strict=True):
        assert (i.simultaneous.low, i.simultaneous.high) == pytest.approx((low, high), abs=0.05)


def test_the_strongest_arms_p_is_dunnetts_and_the_others_step_down_from_it():
    runs = unpaired()
    contrasts, inferred = of_seeds_alone(runs)
    there = stats.dunnett(*(scores for _, scores in runs[1:]), control=runs[0][1], rng=np.random.default_rng(0))
    strongest = int(np.argmax([abs(c.delta) for c in contrasts]))
    assert inferred[strongest].p_adjusted == pytest.approx(there.pvalue[strongest], abs=0.006)
    for i, single_step in zip(inferred, there.pvalue, strict=True):
        assert i.p_adjusted <= single_step + 0.006


def test_one_arm_alone_has_students_interval_and_p():
    runs = unpaired(gains=(0.0, 1.0))
    _, (only,) = of_seeds_alone(runs)
    there = stats.ttest_ind(runs[1][1], runs[0][1])
    low, high = there.confidence_interval(0.95)
    assert (only.alone.low, only.alone.high) == pytest.approx((low, high), abs=0.04)
    assert only.p_value == pytest.approx(there.pvalue, abs=0.006)
    assert only.widening == pytest.approx(1, abs=1e-4)
    assert only.p_value == only.p_adjusted == only.p_holm


def test_paired_seeds_give_the_paired_interval():
    rng = np.random.default_rng(5)
    shared = rng.normal(size=6)
    runs = [(tuple(range(6)), shared + 0.3 * rng.normal(size=6) + gain) for gain in (0.0, 0.5)]
    _, (only,) = of_seeds_alone(runs)
    there = stats.ttest_rel(runs[1][1], runs[0][1])
    low, high = there.confidence_interval(0.95)
    assert (only.alone.low, only.alone.high) == pytest.approx((low, high), abs=0.02)
    assert only.p_value == pytest.approx(there.pvalue, abs=0.006)


@pytest.fixture
def independent():
    """Normal deviations of four contrasts that have nothing to do with one another."""
    return np.random.default_rng(0).normal(size=(B, 4))


def test_unrelated_contrasts_are_widened_as_sidak_says(independent):
    inferred = infer([0.1, 0.2, 0.3, 0.4], independent)
    sidak = stats.norm.ppf((1 + 0.95**0.25) / 2) / stats.norm.ppf(0.975)
    assert inferred[0].widening == pytest.approx(sidak, rel=0.015)
    assert len({i.widening for i in inferred}) == 1


def test_contrasts_that_are_one_and_the_same_cost_nothing(independent):
    same = np.repeat(independent[:, :1], 5, axis=1)
    for i in infer([2.1] * 5, same):
        assert i.widening == pytest.approx(1.0, abs=1e-4)
        assert i.p_adjusted == i.p_value < i.p_holm


def test_stepping_down_is_never_weaker_than_holm_and_never_below_the_plain_p(independent):
    deltas = [3.1, 2.4, 2.0, 0.2]
    for i in infer(deltas, independent):
        assert i.p_value <= i.p_adjusted <= i.p_holm + 0.004


def test_p_values_step_down_in_the_order_of_strength(independent):
    adjusted = [i.p_adjusted for i in infer([2.0, 3.1, -2.4, 0.2], independent)]
    assert adjusted[1] <= adjusted[2] <= adjusted[0] <= adjusted[3]


@pytest.mark.parametrize("delta", [1.9, 1.99, 2.6, -1.9, -2.6])
def test_an_interval_holds_nought_exactly_where_its_p_is_above_five_percent(independent, delta):
    i = infer([delta, 0.0, 0.0, 0.0], independent)[0]
    assert (i.alone.low <= 0 <= i.alone.high) == (i.p_value > 0.05)


@pytest.mark.parametrize("df", [1, 2, 3.7, 14, 250.5])
def test_the_chi_squares_that_spread_replicates_are_scipys(df):
    quantiles = stats.chi2.ppf((np.arange(10_000) + 0.5) / 10_000, df) / df
    assert _mean_squares(df, 10_000) == pytest.approx(quantiles, rel=2e-3)


def test_skewed_replicates_keep_their_skew():
    skewed = np.random.default_rng(0).exponential(size=(B, 1)) - 1
    (only,) = infer([0.0], skewed)
    assert only.alone.high - 0 > 2 * (0 - only.alone.low)


def test_a_stricter_level_widens_all():
    moved = np.random.default_rng(0).normal(size=(B, 3))
    usual, strict = (infer([0.0, 0.0, 0.0], moved, level=level)[0] for level in (0.95, 0.995))
    assert strict.alone.high == pytest.approx(stats.norm.ppf(0.9975), abs=0.1)
    assert strict.narrow.high == pytest.approx(stats.norm.ppf(0.995), abs=0.08)
    assert strict.simultaneous.high > usual.simultaneous.high


def test_a_delta_without_any_variance_is_certain_and_one_of_nought_is_no_difference():
    moved = np.zeros((1000, 2))
    certain, nothing = infer([0.01, 0.0], moved)
    assert (certain.simultaneous.low, certain.simultaneous.high) == (0.01, 0.01)
    assert certain.p_value == pytest.approx(1 / 1001)
    assert (nothing.p_value, nothing.alone.low, nothing.alone.high) == (1.0, 0.0, 0.0)
    assert math.isfinite(certain.widening)


@pytest.mark.parametrize("rng_seed", range(5))
def test_holms_p_is_that_of_statsmodels(rng_seed):
    pvalues = np.random.default_rng(rng_seed).uniform(0, 0.2, 7).round(2)
    assert holm(pvalues.tolist()) == pytest.approx(multipletests(pvalues, method="holm")[1])


def test_no_contrast_no_inference():
    assert infer([], np.zeros((1000, 0))) == []
    assert holm([]) == ()
