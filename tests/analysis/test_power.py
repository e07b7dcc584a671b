import math

import numpy as np
import pytest
from scipy import stats

from analysis.power import smallest_detectable_delta


@pytest.mark.parametrize(("n_seeds", "points"), [(3, 2.77), (5, 1.43), (10, 0.85), (15, 0.66), (20, 0.56)])
def test_what_n_seeds_can_see_at_a_run_sd_of_six_tenths(n_seeds, points):
    assert 100 * smallest_detectable_delta(n_seeds, 0.006) == pytest.approx(points, abs=0.0051)


def test_a_t_test_finds_the_smallest_detectable_delta_in_four_sets_of_five():
    delta = smallest_detectable_delta(5, 0.006)
    draws = np.random.default_rng(0).normal(delta, 0.006 * math.sqrt(2), (20_000, 5))
    assert (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.01)


def test_more_arms_or_images_that_vary_ask_for_a_larger_delta_and_pairing_for_a_smaller_one():
    plain = smallest_detectable_delta(5, 0.006)
    assert smallest_detectable_delta(5, 0.006, n_comparisons=7) > plain
    assert smallest_detectable_delta(5, 0.006, v_img=1e-5) > plain
    assert smallest_detectable_delta(5, 0.006, seed_correlation=0.3) < plain


def test_one_seed_detects_nothing():
    assert math.isinf(smallest_detectable_delta(1, 0.006))
