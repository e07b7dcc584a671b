"""Dunnett's critical value against the tables, SciPy's multivariate distributions, and studies of noise."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.multiplicity import dunnett_probability, dunnett_quantile

TABLE = {
    5: (2.57, 3.03, 3.29, 3.48, 3.62, 3.73, 3.82, 3.90, 3.97),
    10: (2.23, 2.57, 2.76, 2.89, 2.99, 3.07, 3.14, 3.19, 3.24),
    20: (2.09, 2.38, 2.54, 2.65, 2.73, 2.80, 2.86, 2.90, 2.95),
    60: (2.00, 2.27, 2.41, 2.51, 2.58, 2.64, 2.69, 2.73, 2.77),
}
"""Dunnett (1964), two-sided 5%, by degrees of freedom, of 1 to 9 comparisons."""


def sharing_a_baseline(n):
    return (np.eye(n) + 1) / 2


@pytest.mark.parametrize("df", TABLE)
def test_the_critical_values_are_those_of_the_published_table(df):
    assert [dunnett_quantile(n, df) for n in range(1, 10)] == pytest.approx(TABLE[df], abs=0.006)


@pytest.mark.parametrize("df", [1, 2.5, 14, math.inf])
def test_one_comparison_is_students(df):
    assert dunnett_quantile(1, df, 0.9) == pytest.approx(stats.t.ppf(0.95, df))
    assert dunnett_probability(2.0, 1, df) == pytest.approx(1 - 2 * stats.t.sf(2.0, df), abs=1e-9)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_two_comparisons_of_known_variance_are_bivariate_normal(level):
    limit = dunnett_quantile(2, math.inf, level)
    together = stats.multivariate_normal(cov=sharing_a_baseline(2)).cdf([limit] * 2, lower_limit=[-limit] * 2)
    assert together == pytest.approx(level, abs=1e-7)


@pytest.mark.parametrize(("n", "df"), [(2, 3), (3, 14), (7, 14), (7, 112)])
def test_more_of_them_are_multivariate_t(n, df):
    limit = dunnett_quantile(n, df)
    t = stats.multivariate_t(shape=sharing_a_baseline(n), df=df)
    together = t.cdf([limit] * n, lower_limit=[-limit] * n, maxpts=100_000, random_state=0)
    assert together == pytest.approx(0.95, abs=1e-4)


def test_scipys_test_of_arms_against_a_control_gives_the_same_p():
    rng = np.random.default_rng(0)
    arms, control = rng.normal(0.3, 1, (4, 6)), rng.normal(0, 1, 6)
    known = stats.dunnett(*arms, control=control, rng=0)
    df = 5 * (6 - 1)
    ours = [1 - dunnett_probability(abs(t), 4, df) for t in known.statistic]
    assert ours == pytest.approx(known.pvalue, abs=1e-3)


@pytest.mark.parametrize("df", [1, 5, 40, 1e6, math.inf])
def test_it_is_stricter_than_one_comparison_alone_and_milder_than_bonferronis(df):
    found = [dunnett_quantile(n, df) for n in (1, 2, 7, 40)]
    assert found == sorted(found)
    for n, limit in zip((2, 7, 40), found[1:], strict=True):
        assert limit < stats.t.isf(0.025 / n, df)


def test_many_degrees_of_freedom_are_as_good_as_a_known_variance():
    assert dunnett_quantile(7, 1e9) == pytest.approx(dunnett_quantile(7, math.inf), abs=1e-6)


def test_of_sweeps_in_which_no_arm_differs_one_in_twenty_finds_one_that_does():
    n_sweeps, n_arms, n_seeds = 20_000, 8, 3
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 1, (n_sweeps, n_seeds, n_arms)) + rng.normal(0, 2, (n_sweeps, n_seeds, 1))
    residuals = scores - scores.mean(axis=1, keepdims=True)
    residuals -= residuals.mean(axis=2, keepdims=True)
    df = (n_arms - 1) * (n_seeds - 1)
    se = np.sqrt(2 / n_seeds * (residuals**2).sum(axis=(1, 2)) / df)
    means = scores.mean(axis=1)
    largest = np.abs(means[:, 1:] - means[:, :1]).max(axis=1) / se
    share_found = (largest > dunnett_quantile(n_arms - 1, df)).mean()
    assert share_found == pytest.approx(0.05, abs=0.005)
