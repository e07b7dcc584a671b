"""Calibration errors against scikit-learn and closed forms, temperatures against a known truth."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import special
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from analysis.calibration import calibration_errors, classwise_error, confidence_bins, equal_mass_error
from analysis.metrics import N_BINS, outcome
from analysis.posthoc import posthoc
from analysis.reliability import calibration_of, spread
from analysis.split import Split
from analysis.study import Arm, Run


def drawn(n=600, k=4, *, sharpness=1.0, rng_seed=0):
    """Classes drawn from the very probabilities that logits have, which are then sharpened."""
    rng = np.random.default_rng(rng_seed)
    logits = rng.normal(0, 1.5, (n, k))
    label = (rng.random(n)[:, None] > special.softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    return Split(label=label, logits=sharpness * logits)


def from_curve(right, confidence, strategy):
    """sum_b n_b / N |accuracy - confidence| from scikit-learn's curve, the bins' sizes counted apart."""
    accuracy, mean = calibration_curve(right, confidence, n_bins=N_BINS, strategy=strategy)
    edges = (
        np.linspace(0, 1, N_BINS + 1)
        if strategy == "uniform"
        else np.percentile(confidence, 100 * np.linspace(0, 1, N_BINS + 1))
    )
    counts = np.bincount(np.searchsorted(edges[1:-1], confidence), minlength=N_BINS)
    return float(np.abs(accuracy - mean) @ counts[counts > 0] / len(right))


def test_the_ece_is_that_of_scikit_learns_curve():
    split = drawn()
    p = split.probabilities
    right = p.argmax(axis=1) == split.label
    assert calibration_errors(split.label, p).ece == pytest.approx(from_curve(right, p.max(axis=1), "uniform"))


def test_the_equal_mass_ece_is_that_of_scikit_learns_quantile_curve():
    split = drawn()
    p = split.probabilities
    right = p.argmax(axis=1) == split.label
    assert equal_mass_error(p.max(axis=1), right) == pytest.approx(from_curve(right, p.max(axis=1), "quantile"))


def test_the_classwise_ece_is_the_mean_of_each_class_by_scikit_learns_curve():
    split = drawn()
    p = split.probabilities
    by_class = [from_curve(split.label == k, p[:, k], "uniform") for k in range(4)]
    assert classwise_error(split.label, p) == pytest.approx(np.mean(by_class))


def test_the_nll_is_scikit_learns():
    split = drawn()
    assert calibration_errors(split.label, split.probabilities).nll == pytest.approx(
        log_loss(split.label, split.probabilities)
    )


def test_confidence_one_lies_in_the_last_bin():
    sure = outcome(np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    last = confidence_bins([sure])[-1]
    assert (last.n_images, last.confidence, last.accuracy) == (2, 1.0, 0.5)
    assert calibration_errors(np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]])).ece == 0.5


def test_a_model_that_says_two_thirds_and_is_right_in_half_is_off_by_a_sixth():
    label = np.tile([0, 1], 30)
    p = np.tile([2 / 3, 1 / 3], (60, 1))
    errors = calibration_errors(label, p)
    assert (errors.ece, errors.ece_equal_mass, errors.ece_classwise) == pytest.approx((1 / 6,) * 3)


def test_bins_of_equal_mass_keep_equal_confidences_together():
    confidence = np.repeat([0.6, 0.9], [50, 10])
    right = np.repeat([True, False, True], [30, 20, 10])
    assert equal_mass_error(confidence, right) == pytest.approx((10 * 0.1) / 60)


def test_the_bins_hold_the_images_of_all_runs_as_scikit_learns_curve_has_them():
    runs = [drawn(rng_seed=seed) for seed in range(3)]
    outcomes = [outcome(run.label, run.probabilities) for run in runs]
    bins = [b for b in confidence_bins(outcomes) if b.n_images]
    right = np.concatenate([o.right for o in outcomes])
    accuracy, mean = calibration_curve(right, np.concatenate([o.confidence for o in outcomes]), n_bins=N_BINS)
    assert [b.accuracy for b in bins] == pytest.approx(accuracy)
    assert [b.confidence for b in bins] == pytest.approx(mean)
    assert sum(b.n_images for b in bins) == 3 * 600


def arm_of(n_seeds, sharpness, *, val=True):
    """Runs that are all too sure, or too modest, by one factor."""
    runs = []
    for seed in range(n_seeds):
        test = drawn(3000, sharpness=sharpness, rng_seed=seed)
        of_val = drawn(3000, sharpness=sharpness, rng_seed=100 + seed) if val else None
        after = posthoc(test, of_val, {})
        runs.append(Run(seed=seed, outcome=outcome(test.label, test.probabilities), posthoc=after))
    return Arm(name="arm", levers={}, runs=tuple(runs))


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_an_arm_whose_temperature_is_known_gets_it_and_is_calibrated_with_it(sharpness):
    (found,) = calibration_of([arm_of(4, sharpness)])
    t = found.temperature
    assert t.mean == pytest.approx(sharpness, rel=0.04)
    assert t.lowest <= t.mean <= t.highest
    assert found.after.ece < 0.025  # what chance leaves of 3,000 images in 15 bins
    assert found.after.nll <= found.before.nll + 1e-3
    if sharpness != 1:
        assert found.before.ece > 0.1


def test_an_arms_errors_are_means_over_its_seeds():
    arm = arm_of(3, 2.0)
    (found,) = calibration_of([arm])
    assert found.before.ece == pytest.approx(np.mean([run.posthoc.errors.ece for run in arm.runs]))
    assert found.temperature.values == tuple(run.posthoc.fitted["temperature"] for run in arm.runs)
    assert found.temperature.sd == pytest.approx(np.std(found.temperature.values, ddof=1))


def test_without_val_an_arm_has_errors_and_no_temperature():
    (found,) = calibration_of([arm_of(2, 2.0, val=False)])
    assert (found.temperature, found.after, found.bins_after) == (None, None, ())
    assert found.before.ece > 0.1


def test_an_arm_that_nobody_looked_at_after_training_is_left_out():
    arm = arm_of(2, 1.0)
    assert calibration_of([replace(arm, runs=tuple(replace(run, posthoc=None) for run in arm.runs))]) == ()


def test_one_run_has_no_spread():
    assert spread([1.25]).sd is None
