"""The sampler against its definition: class shares, epoch length, one stream for every arm."""

import numpy as np
import pytest
from scipy.stats import chisquare

from dermtune.sampling import PowerSampler, step_generator, training_prior

COUNTS = np.array([900, 240, 60])
LABELS = np.repeat(np.arange(3), COUNTS)


def epoch(power: float, seed: int = 0, number: int = 0) -> np.ndarray:
    sampler = PowerSampler(LABELS, power, seed)
    sampler.set_epoch(number)
    return np.array(list(sampler))


def test_power_zero_shows_each_image_once():
    assert sorted(epoch(0.0)) == list(range(len(LABELS)))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_an_epoch_is_as_long_as_the_training_set_whatever_the_power(power):
    assert len(epoch(power)) == len(PowerSampler(LABELS, power, 0)) == len(LABELS)


@pytest.mark.parametrize("power", [0.25, 0.5, 1.0])
def test_class_shares_follow_n_to_the_one_minus_power(power):
    drawn = np.concatenate([LABELS[epoch(power, number=i)] for i in range(20)])
    expected = COUNTS ** (1 - power) / (COUNTS ** (1 - power)).sum() * len(drawn)
    assert chisquare(np.bincount(drawn), expected).pvalue > 1e-3


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_the_order_is_a_function_of_seed_and_epoch_alone(power):
    assert (epoch(power, seed=3, number=7) == epoch(power, seed=3, number=7)).all()
    assert (epoch(power, seed=3, number=7) != epoch(power, seed=4, number=7)).any()
    assert (epoch(power, seed=3, number=7) != epoch(power, seed=3, number=8)).any()


def test_the_prior_that_training_sees_flattens_with_the_power():
    np.testing.assert_allclose(training_prior(COUNTS, 0.0), COUNTS / COUNTS.sum(), rtol=1e-6)
    np.testing.assert_allclose(training_prior(COUNTS, 1.0), [1 / 3] * 3, rtol=1e-6)
    root = np.sqrt(COUNTS)
    np.testing.assert_allclose(training_prior(COUNTS, 0.5), root / root.sum(), rtol=1e-6)


@pytest.mark.parametrize("progress", [0.25, 0.5, 1.0])
def test_on_its_way_to_balance_a_class_is_drawn_by_the_mixture_of_both_shares(progress):
    # Kang et al. 2020, equation 3: (1 - t/T) p_instance + t/T p_class.
    shares = (1 - progress) * COUNTS / COUNTS.sum() + progress / 3
    np.testing.assert_allclose(training_prior(COUNTS, 1.0, progress), shares, rtol=1e-6)
    sampler = PowerSampler(LABELS, 1.0, 0, lambda epoch: progress)
    drawn = []
    for number in range(20):
        sampler.set_epoch(number)
        drawn += sampler
    assert chisquare(np.bincount(LABELS[drawn]), shares * len(drawn)).pvalue > 1e-3


def test_where_the_way_to_balance_begins_each_image_is_shown_once():
    assert sorted(PowerSampler(LABELS, 1.0, 0, lambda epoch: 0.0)) == list(range(len(LABELS)))


def test_neighbouring_steps_draw_unrelated_numbers():
    first = [step_generator(seed, step).initial_seed() for seed in range(20) for step in range(20)]
    assert len(set(first)) == 400
