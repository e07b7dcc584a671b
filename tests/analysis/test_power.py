"""What a design can see, against textbooks, other programs, and studies of which the truth is known."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower, tt_solve_power

from analysis.outlook import SEEDS, outlook
from analysis.planning import (
    ASSUMED,
    Aim,
    Layout,
    PlanningError,
    Variation,
    interaction,
    main_effect,
    power_at,
    seeds_for,
    smallest_detectable,
)

RUN_SD = 0.006
PAIR = Layout(n_arms=2, variation=Variation(run_sd=RUN_SD))
EIGHT = Layout(n_arms=8, variation=Variation(run_sd=RUN_SD))
AT_ONCE = Aim(n_comparisons=7)
GRID = (3, 3, 2)
CELLS = Layout(n_arms=18, variation=Variation(run_sd=RUN_SD))


def points(fraction):
    return round(100 * fraction, 2)


def varied(**variation):
    return Layout(n_arms=2, variation=Variation(**variation))


@pytest.mark.parametrize(("n_seeds", "seen"), [(5, 1.43), (10, 0.85), (15, 0.66), (20, 0.56)])
def test_what_two_arms_can_see_at_a_run_sd_of_six_tenths(n_seeds, seen):
    assert points(smallest_detectable(PAIR, n_seeds)) == seen


def test_three_seeds_of_two_arms_see_more_unpaired_than_paired():
    paired = RUN_SD * math.sqrt(2) * tt_solve_power(nobs=3, alpha=0.05, power=0.8)
    unpaired = RUN_SD * TTestIndPower().solve_power(nobs1=3, alpha=0.05, power=0.8)
    assert points(paired) == 2.77
    assert smallest_detectable(PAIR, 3) == pytest.approx(unpaired, rel=1e-4)
    assert points(unpaired) == 1.84


def test_two_arms_are_the_paired_t_test_of_a_textbook():
    effect = 0.006 / (RUN_SD * math.sqrt(2))
    assert (
        seeds_for(0.006, PAIR).n_seeds == math.ceil(TTestPower().solve_power(effect, alpha=0.05, power=0.8)) == 18
    )
    for n_seeds in (5, 8, 20):
        known = TTestPower().power(0.02 / (RUN_SD * math.sqrt(2)), nobs=n_seeds, alpha=0.05)
        assert power_at(0.02, PAIR, n_seeds) == pytest.approx(known, abs=1e-5)


def test_eight_arms_that_pool_their_noise_see_a_quarter_of_what_each_sees_by_itself_at_bonferronis_level():
    unpooled = RUN_SD * math.sqrt(2) * tt_solve_power(nobs=3, alpha=0.05 / 7, power=0.8)
    unpaired = Layout(n_arms=8, variation=ASSUMED, paired=False)
    assert points(unpooled) == 7.35
    assert points(smallest_detectable(unpaired, 3, AT_ONCE)) == 1.87
    assert (
        points(smallest_detectable(EIGHT, 3, AT_ONCE)) == 1.90
    )  # two of sixteen degrees of freedom pay for pairing


def test_a_grid_of_eighteen_cells_sees_its_main_effects_where_single_cells_are_blind():
    sampler, gamma = (smallest_detectable(CELLS, 3, Aim(target=main_effect(GRID, lever))) for lever in (2, 0))
    assert (points(sampler), points(gamma)) == (0.47, 0.58)
    assert points(smallest_detectable(CELLS, 3)) == 1.41  # with the noise of all eighteen
    assert points(smallest_detectable(CELLS, 3, Aim(n_comparisons=17))) == 1.91


def test_a_grids_effects_weigh_the_arms_as_the_averages_that_they_are():
    cells = np.array([*itertools.product(*map(range, GRID))])
    one, other = cells[:, 0] == 2, cells[:, 0] == 0
    of_gamma = one / one.sum() - other / other.sum()
    assert main_effect(GRID, 0).squares == pytest.approx((of_gamma**2).sum())
    signs = np.select([cells[:, 0] == 1, other], [1, -1]) * np.select([cells[:, 2] == 1, cells[:, 2] == 0], [1, -1])
    assert interaction(GRID, 0, 2).squares == pytest.approx(((signs / GRID[1]) ** 2).sum())


def test_standard_error_and_degrees_of_freedom_are_those_of_least_squares_with_seed_blocks():
    n_seeds, grid, rng = 3, (2, 3), np.random.default_rng(0)
    rows = [(*cell, seed) for cell in itertools.product(*map(range, grid)) for seed in range(n_seeds)]
    runs = pd.DataFrame(rows, columns=["a", "b", "seed"]).assign(score=rng.normal(size=len(rows)))
    fit = smf.ols("score ~ C(a, Sum) * C(b, Sum) + C(seed)", runs).fit()
    effect = fit.t_test("2 * C(a, Sum)[S.0] = 0")  # from the mean of both levels to the difference of the two
    layout = Layout(n_arms=6, variation=Variation(run_sd=math.sqrt(fit.mse_resid)))
    assert fit.df_resid == layout.df(n_seeds)
    assert effect.sd.item() ** 2 == pytest.approx(
        main_effect(grid, 0).squares * layout.mean_square(n_seeds) / n_seeds
    )


def studies(n_studies, *, n_arms, n_seeds, delta, shared=0.0, image_sd=0.0):
    """An arm's t and its degrees of freedom in studies of noise, shifts of seeds, a true delta, and images."""
    rng = np.random.default_rng(2)
    scores = rng.normal(0, RUN_SD * math.sqrt(1 - shared), (n_studies, n_seeds, n_arms))
    scores += rng.normal(0, RUN_SD * math.sqrt(shared), (n_studies, n_seeds, 1))
    residuals = scores - scores.mean(axis=1, keepdims=True)
    residuals -= residuals.mean(axis=2, keepdims=True)
    df = (n_arms - 1) * (n_seeds - 1)
    v_seed = 2 / n_seeds * (residuals**2).sum(axis=(1, 2)) / df
    deltas = scores[:, :, 1].mean(axis=1) - scores[:, :, 0].mean(axis=1) + delta
    deltas += rng.normal(0, image_sd, n_studies)
    variance = v_seed + image_sd**2
    return deltas / np.sqrt(variance), df * (variance / v_seed) ** 2


def test_four_in_five_studies_of_four_arms_find_what_the_plan_says():
    variation = Variation(run_sd=RUN_SD, seed_correlation=0.3)
    delta = smallest_detectable(Layout(n_arms=4, variation=variation), 5, Aim(n_comparisons=3))
    t, _ = studies(20_000, n_arms=4, n_seeds=5, delta=delta, shared=0.3)
    assert (t > 2.68).mean() == pytest.approx(0.8, abs=0.01)  # Dunnett's table, three comparisons, df 12


def test_studies_whose_images_vary_bear_the_plan_out_too():
    layout = Layout(n_arms=4, variation=Variation(run_sd=RUN_SD, image_sd=0.003))
    delta = smallest_detectable(layout, 5)
    t, df = studies(20_000, n_arms=4, n_seeds=5, delta=delta, image_sd=0.003)
    assert (t > stats.t.isf(0.025, df)).mean() == pytest.approx(0.8, abs=0.01)


def test_a_delta_of_the_smallest_size_is_found_with_the_power_that_was_asked_for():
    for power, layout, aim in ((0.8, EIGHT, AT_ONCE), (0.9, varied(image_sd=0.002), Aim()), (0.5, PAIR, Aim())):
        asked = Aim(target=aim.target, n_comparisons=aim.n_comparisons, power=power)
        assert power_at(smallest_detectable(layout, 4, asked), layout, 4, asked) == pytest.approx(power, abs=1e-6)


def test_more_arms_at_once_or_images_that_vary_ask_for_a_larger_delta_and_pairing_for_a_smaller_one():
    plain = smallest_detectable(PAIR, 5)
    assert smallest_detectable(EIGHT, 5, AT_ONCE) > smallest_detectable(EIGHT, 5)
    assert (
        smallest_detectable(varied(image_sd=0.003), 5)
        > plain
        > smallest_detectable(varied(seed_correlation=0.3), 5)
    )


def test_a_grid_averages_runs_and_not_images():
    many = Layout(n_arms=18, variation=Variation(run_sd=1e-6, image_sd=0.002))
    least = 0.002 * (stats.norm.isf(0.025) + stats.norm.isf(0.2))
    assert smallest_detectable(many, 3, Aim(target=main_effect(GRID, 0))) == pytest.approx(least, rel=1e-4)
    assert smallest_detectable(many, 3, Aim(target=interaction(GRID, 0, 1))) == pytest.approx(
        least * math.sqrt(2), rel=1e-4
    )


def test_seeds_needed_are_not_one_more_than_it_takes():
    needed = seeds_for(0.006, EIGHT, AT_ONCE).n_seeds
    assert smallest_detectable(EIGHT, needed, AT_ONCE) <= 0.006 < smallest_detectable(EIGHT, needed - 1, AT_ONCE)


def test_many_seeds_are_as_many_as_the_normal_distribution_asks_for():
    z = stats.norm.isf(0.025) + stats.norm.isf(0.2)
    assert seeds_for(0.0012, PAIR).n_seeds == pytest.approx(2 * (z * RUN_SD / 0.0012) ** 2, rel=0.01)


def test_a_delta_out_of_reach_is_not_priced_in_seeds():
    needed = seeds_for(0.0005, PAIR)
    assert (needed.n_seeds, needed.images_forbid, needed.said) == (None, False, "more than 1000 seeds an arm")


def test_where_the_images_alone_hide_a_delta_no_number_of_seeds_is_named():
    least = 0.006 / (stats.norm.isf(0.025) + stats.norm.isf(0.2))
    needed = seeds_for(0.006, varied(image_sd=1.001 * least))
    assert (needed.n_seeds, needed.images_forbid) == (None, True)
    assert needed.said == "more test images than these"
    assert not seeds_for(0.006, varied(image_sd=0.999 * least)).images_forbid


def test_one_seed_detects_nothing():
    assert math.isinf(smallest_detectable(EIGHT, 1, AT_ONCE))
    assert power_at(1.0, EIGHT, 1) == 0


def test_an_outlook_has_a_row_for_each_kind_of_effect_and_a_column_for_the_seeds_asked_about():
    found = outlook(CELLS, delta=0.006, n_seeds=7, levels=GRID)
    assert [sight.what for sight in found.sights] == [
        "17 arms judged at once", "one arm by itself", "main effect, 3 levels", "main effect, 2 levels",
        "interaction, 3 × 3 levels", "interaction, 3 × 2 levels",
    ]  # fmt: skip
    assert all([*sight.smallest] == sorted([*SEEDS, 7]) for sight in found.sights)
    assert found.found == power_at(0.006, CELLS, 7, Aim(n_comparisons=17))
    assert [sight.what for sight in outlook(PAIR, delta=0.006).sights] == ["the arm"]


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (lambda: varied(run_sd=0.0), "the run-to-run standard deviation must be above 0, got 0.0"),
        (lambda: varied(run_sd=math.nan), "the run-to-run standard deviation must be above 0, got nan"),
        (lambda: varied(seed_correlation=1.0), r"the seed correlation must lie in \(-1, 1\), got 1.0"),
        (lambda: varied(image_sd=-1e-3), "the images' standard deviation must be at least 0, got -0.001"),
        (lambda: Layout(n_arms=1, variation=ASSUMED), "the arms must be at least 2, the baseline included, got 1"),
        (lambda: Aim(power=1.0), "the power must be at least 0.5 and below 1, got 1.0"),
        (lambda: seeds_for(0.0, PAIR), "the delta must be above 0, got 0.0"),
    ],
)
def test_what_cannot_be_planned_is_told_with_what_must_hold(plan, told):
    with pytest.raises(PlanningError, match=told):
        plan()
