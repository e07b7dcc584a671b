"""Run-to-run noise: one variance of all arms where they are alike, as analyses of variance elsewhere have it."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

import analysis.noise as noise_module
from analysis.influence import Measured, units_of
from analysis.noise import correlation, pairing_pays, sd_interval, seed_noise
from analysis.variance import contrast


def arm_of(name, scores, seeds=None, influence=None):
    scores = np.asarray(scores, dtype=np.float64)
    return Measured(
        arm=name,
        seeds=tuple(range(len(scores))) if seeds is None else tuple(seeds),
        scores=scores,
        influence=np.ones((len(scores), 4)) * scores[:, None] if influence is None else influence,
    )


def design(*, n_arms=4, n_seeds=5, block=0.7, sds=None, rng_seed=0):
    """Arms whose runs share what a seed does to all of them; the baseline first."""
    rng = np.random.default_rng(rng_seed)
    of_seeds = block * rng.normal(size=n_seeds)
    sds = sds or [1.0] * n_arms
    return [arm_of(f"arm{a}", a + of_seeds + sd * rng.normal(size=n_seeds)) for a, sd in enumerate(sds)]


def table(arms):
    return pd.DataFrame(
        [
            {"arm": arm.arm, "seed": seed, "score": score}
            for arm in arms
            for seed, score in zip(arm.seeds, arm.scores, strict=True)
        ]
    )


def without_last_run(arm):
    return arm_of(arm.arm, arm.scores[:-1], arm.seeds[:-1])


def delta(noise, arm, baseline="arm0"):
    units = units_of(np.zeros(4, dtype=np.int64), np.arange(4).astype(str), 1)
    return contrast(arm, {arm: 1.0, baseline: -1.0}, noise, units)


def test_the_variance_around_seeds_is_the_residual_of_ordinary_least_squares_on_arms_and_seeds():
    arms = design()
    fitted = smf.ols("score ~ C(arm) + C(seed)", table(arms)).fit()
    blocks = seed_noise(arms, run_sd=0.006).blocks
    assert (blocks.variance, blocks.df) == (pytest.approx(fitted.mse_resid), fitted.df_resid)
    assert blocks.df == 3 * 4


def test_of_a_thousand_arms_the_variance_around_seeds_is_least_squares_too(monkeypatch):
    whole = design(n_arms=7)
    holes = [without_last_run(arm) if a % 3 == 1 else arm for a, arm in enumerate(whole)]
    apart = [*whole[:3], *(arm_of(arm.arm, arm.scores, range(10, 15)) for arm in whole[3:])]
    solved = [seed_noise(arms, run_sd=0.006).blocks for arms in (whole, holes, apart)]
    monkeypatch.setattr(noise_module, "_MOST_CELLS", 0)
    for arms, expected in zip((whole, holes, apart), solved, strict=True):
        blocks = seed_noise(arms, run_sd=0.006).blocks
        assert (blocks.variance, blocks.df) == (pytest.approx(expected.variance, rel=1e-12), expected.df)
    fitted = smf.ols("score ~ C(arm) + C(seed)", table(holes)).fit()
    assert solved[1].variance == pytest.approx(fitted.mse_resid)
    assert solved[1].df == fitted.df_resid


def test_the_standard_error_of_a_delta_is_that_of_least_squares_with_blocks():
    arms = design()
    fitted = smf.ols("score ~ C(arm) + C(seed)", table(arms)).fit()
    c = delta(seed_noise(arms, run_sd=0.006), "arm2")
    assert c.delta == pytest.approx(fitted.params["C(arm)[T.arm2]"])
    assert math.sqrt(c.seed.variance) == pytest.approx(fitted.bse["C(arm)[T.arm2]"])


def test_a_missing_run_costs_one_degree_of_freedom():
    arms = design()
    arms[3] = without_last_run(arms[3])
    fitted = smf.ols("score ~ C(arm) + C(seed)", table(arms)).fit()
    blocks = seed_noise(arms, run_sd=0.006).blocks
    assert (blocks.variance, blocks.df) == (pytest.approx(fitted.mse_resid), 11)


def test_the_variance_within_arms_is_that_of_a_one_way_analysis():
    arms = design()
    fitted = smf.ols("score ~ C(arm)", table(arms)).fit()
    noise = seed_noise(arms, run_sd=0.006)
    assert (noise.within.variance, noise.within.df) == (pytest.approx(fitted.mse_resid), 16)


def test_arms_that_share_no_seed_have_the_standard_error_of_a_one_way_analysis():
    arms = [arm_of(f"arm{a}", x.scores, seeds=range(10 * a, 10 * a + 5)) for a, x in enumerate(design(rng_seed=1))]
    fitted = smf.ols("score ~ C(arm)", table(arms)).fit()
    c = delta(seed_noise(arms, run_sd=0.006), "arm2")
    assert math.sqrt(c.seed.variance) == pytest.approx(fitted.bse["C(arm)[T.arm2]"])
    assert c.seed.df == 16


def test_one_arm_that_shares_no_seed_among_others_that_do_varies_by_its_own_seeds_as_well():
    arms = design(rng_seed=1, block=2.0)
    arms[2] = arm_of("arm2", arms[2].scores, seeds=range(10, 15))
    noise = seed_noise(arms, run_sd=0.006)
    assert delta(noise, "arm2").seed.variance == pytest.approx(noise.within.variance * (1 / 5 + 1 / 5))
    assert delta(noise, "arm1").seed.variance == pytest.approx(noise.blocks.variance * (1 / 5 + 1 / 5))


def test_a_run_that_an_arm_lacks_does_not_unpair_the_others():
    """The variance of a block design with random blocks, written out with its weights."""
    arms = design(n_seeds=6, block=3.0)
    arms[1] = without_last_run(arms[1])
    noise = seed_noise(arms, run_sd=0.006)
    weights = np.zeros((4, 6))
    weights[1, :5], weights[0] = 1 / 5, -1 / 6
    ms, shift = noise.blocks.variance, noise.within.variance - noise.blocks.variance
    expected = ms * (weights**2).sum() + shift * (weights.sum(axis=0) ** 2).sum()
    c = delta(noise, "arm1")
    assert c.seed.variance == pytest.approx(expected)
    assert c.seed.variance < 0.5 * noise.within.variance * (1 / 5 + 1 / 6)


def test_a_partly_paired_delta_of_arms_that_do_not_differ_is_found_to_in_five_of_100():
    found = []
    for i in range(2500):
        arms = [arm_of(a.arm, a.scores - int(a.arm[-1])) for a in design(n_seeds=5, block=1.0, rng_seed=i)]
        arms[1] = without_last_run(arms[1])
        c = delta(seed_noise(arms, run_sd=0.006), "arm1")
        found.append(abs(c.delta) > stats.t.ppf(0.975, c.seed.df) * math.sqrt(c.seed.variance))
    assert np.mean(found) == pytest.approx(0.05, abs=0.015)


def test_the_arms_variances_are_compared_by_bartletts_test_of_the_deltas():
    arms = design()
    expected = stats.bartlett(*(arm.scores - arms[0].scores for arm in arms[1:])).pvalue
    assert seed_noise(arms, run_sd=0.006).alike == pytest.approx(expected)


UNLIKE = {"sds": [1.0, 1.0, 30.0, 1.0], "n_seeds": 6}


def test_an_arm_whose_runs_vary_more_rests_on_its_own_seeds_as_a_paired_t_test():
    arms = design(**UNLIKE)
    noise = seed_noise(arms, run_sd=0.006)
    there = stats.ttest_rel(arms[2].scores, arms[0].scores)
    c = delta(noise, "arm2")
    assert c.seed.df == there.df == 5
    assert c.delta / math.sqrt(c.seed.variance) == pytest.approx(there.statistic)
    assert any("runs vary more here" in note for note in c.notes)
    assert delta(noise, "arm1").seed.df == noise.blocks.df


def test_two_arms_with_few_seeds_that_vary_differently_are_a_paired_t_test():
    one, other = design(n_arms=2, n_seeds=3, block=0.0, sds=[0.01, 9.0])
    c = delta(seed_noise([one, other], run_sd=0.006), "arm1")
    there = stats.ttest_rel(other.scores, one.scores)
    assert (c.seed.df, c.delta / math.sqrt(c.seed.variance)) == (2, pytest.approx(there.statistic))


def test_unpaired_it_is_welchs_with_the_variance_of_all_arms_on_the_other_side():
    arms = design(**UNLIKE)
    arms[2] = arm_of("arm2", arms[2].scores[:4], seeds=range(10, 14))
    noise = seed_noise(arms, run_sd=0.006)
    c = delta(noise, "arm2")
    own, others = arms[2].scores.var(ddof=1) / 4, noise.within.variance / 6
    assert c.seed.variance == pytest.approx(own + others)
    assert c.seed.df == pytest.approx((own + others) ** 2 / (own**2 / 3 + others**2 / noise.within.df))


def test_a_noisier_arm_stays_in_the_pool_of_the_others_which_makes_them_cautious_and_no_less():
    arms = design(**UNLIKE)
    noise = seed_noise(arms, run_sd=0.006)
    alone = stats.ttest_rel(arms[1].scores, arms[0].scores)
    assert abs(delta(noise, "arm1").delta) / math.sqrt(delta(noise, "arm1").seed.variance) < abs(alone.statistic)


def test_of_arms_that_vary_alike_one_in_twenty_is_taken_for_noisier():
    taken = [
        any(
            part.own
            for part in seed_noise(design(rng_seed=i), run_sd=0.006).parts("d", {"arm1": 1.0, "arm0": -1.0})
        )
        for i in range(2000)
    ]
    assert np.mean(taken) == pytest.approx(0.05, abs=0.015)


def test_a_delta_known_from_three_seeds_is_known_better_the_more_arms_there_are():
    arms = design(n_arms=8, n_seeds=3, block=0.1)
    dfs = [delta(seed_noise(arms[:n], run_sd=0.006), "arm1").seed.df for n in (2, 4, 8)]
    assert dfs == [4, 6, 14], "two arms: 2 x 2 within; four and eight: (A - 1) x 2 in blocks"


@pytest.mark.parametrize(("n_arms", "n_seeds", "pays"), [(2, 3, False), (2, 5, True), (3, 3, True), (3, 2, False)])
def test_pairing_is_given_up_where_few_seeds_of_two_arms_cannot_spare_the_degrees_of_freedom(n_arms, n_seeds, pays):
    assert pairing_pays((n_arms - 1) * (n_seeds - 1), n_arms * (n_seeds - 1)) == pays


def test_seeds_that_plainly_shift_both_arms_alike_are_paired_however_few_there_are():
    one, other = design(n_arms=2, n_seeds=4, block=200.0)
    c = delta(seed_noise([one, other], run_sd=0.006), "arm1")
    there = stats.ttest_rel(other.scores, one.scores)
    assert (c.seed.df, c.delta / math.sqrt(c.seed.variance)) == (3, pytest.approx(there.statistic))


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
def test_two_arms_that_do_not_differ_are_found_to_in_five_of_100_whatever_rule_was_taken(n_seeds):
    found = []
    for i in range(3000):
        c = delta(seed_noise(design(n_arms=2, n_seeds=n_seeds, block=0.0, rng_seed=i), run_sd=0.006), "arm1")
        found.append(abs(c.delta - 1) > stats.t.ppf(0.975, c.seed.df) * math.sqrt(c.seed.variance))
    assert np.mean(found) <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 3000) + 0.004


def test_the_interval_of_the_run_to_run_sd_holds_it_in_95_of_100_designs():
    held = []
    for i in range(1500):
        noise = seed_noise(design(n_arms=3, n_seeds=4, block=0.0, rng_seed=i), run_sd=0.006)
        low, high = sd_interval(noise.within)
        held.append(low <= 1.0 <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("block", [0.0, 0.5, 1.0])
def test_the_correlation_over_seeds_is_the_share_of_variance_that_seeds_do_to_all_arms(block):
    noise = seed_noise(design(n_arms=8, n_seeds=300, block=block), run_sd=0.006)
    assert noise.seed_correlation == pytest.approx(block**2 / (block**2 + 1), abs=0.08)


def test_the_correlation_of_two_arms_is_pearsons_over_the_seeds_that_both_have():
    one, other = design(n_arms=2, n_seeds=6)
    shorter = arm_of("short", other.scores[1:], other.seeds[1:])
    assert correlation(one, other) == pytest.approx(stats.pearsonr(one.scores, other.scores).statistic)
    assert correlation(one, shorter) == pytest.approx(stats.pearsonr(one.scores[1:], other.scores[1:]).statistic)
    assert correlation(*design(n_arms=2, n_seeds=2)) is None


def test_an_arm_that_repeats_the_baseline_run_by_run_does_not_lower_the_noise_of_the_others():
    arms = design()
    again = arm_of("again", arms[0].scores)
    with_it, without = (seed_noise(a, run_sd=0.006) for a in ([*arms, again], arms))
    assert with_it.blocks == without.blocks
    assert delta(with_it, "again").seed.variance == 0


def test_single_runs_have_the_assumed_noise_and_no_measured_one():
    noise = seed_noise([arm_of("arm0", [0.6]), arm_of("arm1", [0.7])], run_sd=0.006)
    assert (noise.within, noise.blocks, noise.alike) == (None, None, None)
    c = delta(noise, "arm1")
    assert c.seed.variance == pytest.approx(2 * 0.006**2)
    assert math.isinf(c.seed.df)
    assert c.assumed


def test_an_arm_whose_runs_never_vary_is_not_pooled_with_arms_that_do():
    arms = [*design(n_arms=3), arm_of("fixed", [0.5] * 5)]
    arms[0] = arm_of("arm0", [0.1] * 5)
    assert seed_noise(arms, run_sd=0.006).alike == 0.0
