"""Looking at 3, 5 and 10 seeds costs something and is paid for, and a report knows which look it is."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.looks import ALPHA, Look, crossing, look_at, look_pvalue, nominal_levels, spending_bounds, spent

LOOKS = (3, 5, 10)
SHARES = (0.3, 0.5, 1.0)
THIRDS = (1 / 3, 2 / 3, 1.0)


def equal_looks(n):
    return [k / n for k in range(1, n + 1)]


# What may be spent, and the bounds that spend it


def test_a_look_may_spend_what_lan_and_demets_give_for_its_share_of_the_seeds():
    assert [round(spent(share), 5) for share in SHARES] == [0.00035, 0.00557, 0.05]


def test_pococks_bound_spends_the_whole_5_percent_at_three_equal_looks():
    assert crossing([2.289] * 3, THIRDS)[-1] == pytest.approx(0.05, abs=1e-4)


def test_the_bounds_of_obrien_and_fleming_spend_the_whole_5_percent_at_three_equal_looks():
    assert crossing([2.004 * math.sqrt(3 / k) for k in (1, 2, 3)], THIRDS)[-1] == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(
    ("n_looks", "published"), [(3, [3.710, 2.511, 1.993]), (5, [4.877, 3.357, 2.680, 2.290, 2.031])]
)
def test_spending_on_each_side_alone_gives_the_published_bounds(n_looks, published):
    # DeMets and Lan 1994: 2.5% are spent on each side by the one-sided function.
    shares = equal_looks(n_looks)
    spending = [2 * spent(share, alpha=0.025) for share in shares]
    assert spending_bounds(spending, shares) == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize("shares", [SHARES, THIRDS, (0.5, 1.0), (0.2, 0.9, 1.0)])
def test_the_bounds_leave_what_scipy_finds_within_them(shares):
    bounds = np.asarray(spending_bounds([spent(share) for share in shares], shares))
    correlation = np.sqrt(np.minimum.outer(shares, shares) / np.maximum.outer(shares, shares))
    within = stats.multivariate_normal(cov=correlation, seed=0).cdf(bounds, lower_limit=-bounds)
    assert within == pytest.approx(0.95, abs=2e-5)
    assert crossing(bounds, shares)[-1] == pytest.approx(0.05, abs=1e-9)


def test_the_levels_of_looks_at_3_5_and_10_seeds():
    assert [round(level, 5) for level in nominal_levels(SHARES)] == [0.00035, 0.00544, 0.04776]


def test_a_single_look_has_the_5_percent_for_itself():
    assert nominal_levels([1.0]) == pytest.approx((0.05,), abs=1e-12)


def test_a_look_far_too_early_may_spend_nothing_and_the_last_everything():
    assert nominal_levels([0.0005, 0.001, 1.0]) == pytest.approx((0, 0, 0.05), abs=1e-12)


# What looking costs, over drawn sweeps in which nothing differs


def error_of(pvalues, levels):
    """Share of drawn sweeps in which any look finds something; pvalues [n, looks]."""
    return float((pvalues < levels).any(axis=1).mean())


def drawn(n_arms=1, v_img=0.0, *, rng_seed=0, n_sets=100_000):
    """Deltas of each seed [n, arms, seeds] with variance 1, and what the images, the same at all looks, add [n]."""
    rng = np.random.default_rng(rng_seed)
    return rng.normal(size=(n_sets, n_arms, LOOKS[-1])), math.sqrt(v_img) * rng.normal(size=n_sets)


def z_pvalues(deltas, images, v_img=0.0):
    """Two-sided p [n, looks] of the first arm's delta, its noise taken as known."""
    z = [(deltas[:, 0, :n].mean(axis=1) + images) / math.sqrt(1 / n + v_img) for n in LOOKS]
    return 2 * stats.norm.sf(np.abs(np.stack(z, axis=1)))


def t_pvalues(deltas, images, v_img=0.0):
    """Two-sided p [n, looks] of the first arm's delta, the noise pooled over arms and the df guarded."""
    pvalues = []
    for n in LOOKS:
        seed_df = deltas.shape[1] * (n - 1)
        v_seed = deltas[:, :, :n].var(axis=2, ddof=1).mean(axis=1) / n
        guarded = v_seed * seed_df / stats.chi2.ppf(1 / 3, seed_df)
        df = seed_df * ((guarded + v_img) / guarded) ** 2
        t = (deltas[:, 0, :n].mean(axis=1) + images) / np.sqrt(v_seed + v_img)
        pvalues.append(2 * stats.t.sf(np.abs(t), df))
    return np.stack(pvalues, axis=1)


def test_a_plain_t_test_at_each_look_errs_in_12_of_100_sweeps():
    assert error_of(t_pvalues(*drawn()), 0.05) == pytest.approx(0.120, abs=0.003)


MEASURED = pytest.mark.parametrize(
    ("pvalues_of", "n_arms", "v_img", "plain", "error"),
    [
        (z_pvalues, 1, 0.0, 0.1096, 0.0497),
        (z_pvalues, 1, 0.1, 0.0999, 0.0486),  # images as uncertain as ten seeds, the same at all looks
        (
            t_pvalues,
            1,
            0.0,
            0.1203,
            0.0516,
        ),  # successive t are a little less alike than the z the levels are made for
        (t_pvalues, 1, 0.1, 0.1099, 0.0518),
        (t_pvalues, 5, 0.0, 0.1123, 0.0504),
        (t_pvalues, 5, 0.1, 0.1021, 0.0494),
    ],
)


@MEASURED
def test_plain_looks_and_looks_at_their_levels_err_as_the_docs_say(pvalues_of, n_arms, v_img, plain, error):
    pvalues = pvalues_of(*drawn(n_arms, v_img), v_img)
    assert error_of(pvalues, 0.05) == pytest.approx(plain, abs=0.003)
    assert error_of(pvalues, nominal_levels(SHARES)) == pytest.approx(error, abs=0.002)


@pytest.mark.slow
@MEASURED
def test_over_a_million_sweeps_they_err_as_the_docs_say(pvalues_of, n_arms, v_img, plain, error):
    levels = np.asarray([[0.05] * 3, nominal_levels(SHARES)])
    shares = np.zeros(2)
    for rng_seed in range(10):
        pvalues = pvalues_of(*drawn(n_arms, v_img, rng_seed=rng_seed), v_img)
        shares += [error_of(pvalues, of_look) / 10 for of_look in levels]
    assert shares == pytest.approx([plain, error], abs=0.0007)


def test_noise_pooled_over_arms_brings_the_first_look_near_its_level():
    def excess(n_arms):
        pvalues = t_pvalues(*drawn(n_arms, v_img=0.1), 0.1)[:, 0]
        return (pvalues < nominal_levels(SHARES)[0]).mean() / nominal_levels(SHARES)[0]

    assert excess(1) == pytest.approx(10.5, abs=1.5)
    assert excess(5) < 2


def test_a_second_look_cannot_take_back_what_an_undeclared_first_one_has_spent():
    plain = stats.norm.isf(0.025)
    adjusted = stats.norm.isf(nominal_levels([0.5, 1.0])[1] / 2)
    assert crossing([plain, plain], [0.5, 1.0])[-1] == pytest.approx(0.083, abs=5e-4)
    assert crossing([plain, adjusted], [0.5, 1.0])[-1] == pytest.approx(0.081, abs=5e-4)


# Which look it is


@pytest.mark.parametrize(
    ("n_seeds", "number", "judged", "later"),
    [(3, 1, 3, (5, 10)), (4, 1, 3, (5, 10)), (5, 2, 5, (10,)), (12, 3, 10, ())],
)
def test_the_look_is_the_last_one_that_the_seeds_are_enough_for(n_seeds, number, judged, later):
    look = look_at(n_seeds, declared=LOOKS, taken=())
    assert (look.number, look.of, look.n_seeds, look.later, look.declared) == (number, 3, judged, later, True)
    assert look.alpha == nominal_levels(SHARES)[number - 1]
    assert look.spent == spent(SHARES[number - 1])


def test_before_the_first_look_nothing_is_spent_and_nothing_is_judged():
    look = look_at(2, declared=LOOKS, taken=())
    assert look == Look(number=0, of=3, n_seeds=2, alpha=0.0, spent=0.0, declared=True, later=LOOKS)
    assert not look.judges


@pytest.mark.parametrize(("n_seeds", "taken"), [(5, ()), (5, (5,)), (5, (10,))])
def test_a_sweep_that_declares_none_and_was_not_seen_on_fewer_seeds_has_one_look(n_seeds, taken):
    assert look_at(n_seeds, declared=(), taken=taken) is None


def test_a_second_look_that_nobody_declared_is_judged_as_if_both_had_been():
    look = look_at(10, declared=(), taken=(5,))
    declared = look_at(10, declared=(5, 10), taken=(5,))
    assert look == replace(declared, declared=False)
    assert 0 < look.alpha < ALPHA


def test_a_look_besides_the_declared_ones_makes_one_more():
    look = look_at(10, declared=(10, 20), taken=(5,))
    assert (look.number, look.of, look.declared) == (2, 3, False)
    assert look.alpha == nominal_levels([0.25, 0.5, 1.0])[1]


@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_a_p_value_at_a_look_is_below_5_percent_exactly_where_it_is_below_the_looks_level(n_seeds):
    look = look_at(n_seeds, declared=LOOKS, taken=())
    assert look_pvalue(look.alpha, look) == ALPHA
    assert look_pvalue(look.alpha * (1 + 1e-9), look) > ALPHA
    assert look_pvalue(look.alpha / 2, look) == pytest.approx(ALPHA / 2)
    assert look_pvalue(1.0, look) == 1.0


def test_there_is_no_p_value_before_the_first_look():
    assert math.isnan(look_pvalue(0.001, look_at(2, declared=LOOKS, taken=())))
