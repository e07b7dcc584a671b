"""How large a gain picking alone shows."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.optimism import expected_largest


def test_the_best_of_17_arms_that_do_nothing_shows_62_hundredths_of_a_point_with_three_seeds():
    assert expected_largest(17) * 0.6 / math.sqrt(3) == pytest.approx(0.62, abs=0.005)


def test_small_numbers_have_their_closed_forms():
    assert expected_largest(1) == pytest.approx(0, abs=1e-9)
    assert expected_largest(2) == pytest.approx(1 / math.sqrt(math.pi), rel=1e-9)
    assert expected_largest(3) == pytest.approx(3 / (2 * math.sqrt(math.pi)), rel=1e-9)
    assert expected_largest(3, 2) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("n", "place"), [(5, 2), (40, 1), (40, 3), (400, 1)])
def test_it_is_the_mean_of_normal_quantiles_of_a_beta_variable(n, place):
    """Phi of the order statistic of rank r is Beta(r, n - r + 1): an integral over another variable."""
    rank = n - place + 1
    mean = stats.beta(rank, n - rank + 1).expect(stats.norm.ppf)
    assert expected_largest(n, place) == pytest.approx(float(mean), rel=1e-5)


def test_places_are_symmetric_and_sum_to_nought():
    of_all = [expected_largest(9, place) for place in range(1, 10)]
    assert of_all == pytest.approx([-value for value in reversed(of_all)], abs=1e-9)


def test_draws_have_it_for_their_mean():
    draws = np.sort(np.random.default_rng(0).normal(size=(40_000, 26)), axis=1)
    for place in (1, 2, 3):
        column = draws[:, -place]
        error = column.std(ddof=1) / math.sqrt(len(column))
        assert abs(column.mean() - expected_largest(26, place)) < 4 * error


@pytest.mark.parametrize("place", [0, 6])
def test_a_place_that_there_is_not_is_refused(place):
    with pytest.raises(ValueError, match="from 1 to 5"):
        expected_largest(5, place)
