"""Treatments after training, against scikit-learn, closed forms and worlds whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import balanced_accuracy_score, log_loss

from analysis.posthoc import posthoc
from analysis.split import Split, softmax
from analysis.treatments import (
    TREATMENTS,
    adjusted,
    fitted_tau,
    fitted_temperature,
    focal_inverse,
    hflip,
    scaled,
    seen_log_prior,
    treated,
)

SIZES = (160, 60, 24, 8)


def split(*, sizes=SIZES, signal=1.5, sharpness=1.0, mirrored=True, rng_seed=0):
    """Images of Gaussian classes: at sharpness 1 the logits are the Bayes rule's under equal shares."""
    rng = np.random.default_rng(rng_seed)
    k, label = len(sizes), np.repeat(np.arange(len(sizes)), sizes)
    views = [signal * (signal * np.eye(k)[label] + rng.normal(size=(len(label), k))) for _ in range(2)]
    log_prior = np.log(np.asarray(sizes) / sum(sizes))
    logits, flipped = (sharpness * (view + log_prior) for view in views)
    return Split(
        label=label, logits=logits.astype(np.float32), logits_hflip=flipped.astype(np.float32) if mirrored else None
    )


class Logits(ClassifierMixin, BaseEstimator):
    """What takes logits for features and hands them on, for scikit-learn to calibrate."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x):
        return x

    def predict(self, x):
        return x.argmax(axis=1)


def test_both_views_count_alike_as_probabilities():
    test = split()
    mean = (special.softmax(test.logits, axis=1) + special.softmax(test.logits_hflip, axis=1)) / 2
    assert hflip(test).probabilities == pytest.approx(mean, abs=1e-6)
    assert hflip(replace(test, logits=test.logits_hflip, logits_hflip=test.logits)).probabilities == pytest.approx(
        mean, abs=1e-6
    )


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_the_temperature_is_scikit_learns(sharpness):
    val = split(sharpness=sharpness)
    theirs = _sklearn_temperature(val.logits.astype(np.float64), val.label)
    assert fitted_temperature(val) == pytest.approx(theirs, rel=1e-3)


def test_no_other_temperature_has_a_lower_nll():
    val = split(sharpness=2.5)
    nll = [log_loss(val.label, softmax(val.logits / t)) for t in np.geomspace(0.02, 50, 400)]
    found = log_loss(val.label, scaled(val, fitted_temperature(val)).probabilities)
    assert found <= min(nll) + 1e-7


def test_logits_that_were_sharpened_by_a_known_factor_get_it_back():
    sharp = split(sizes=(4000, 4000, 4000), sharpness=2.0)
    assert fitted_temperature(sharp) == pytest.approx(2.0, rel=0.05)  # four standard errors


def test_a_run_without_an_error_on_val_keeps_a_temperature_above_nought():
    sure = Split(label=np.array([0, 1, 2]), logits=5 * np.eye(3))
    assert 0.01 <= fitted_temperature(sure) < 0.1


def test_a_classs_share_counts_half_an_image_where_val_has_none():
    log_prior = seen_log_prior(np.array([0, 0, 0, 1]), 3, 0.0)
    assert np.exp(log_prior) == pytest.approx(np.array([3, 1, 0.5]) / 4.5)


def test_a_sampler_shows_training_a_flatter_prior():
    label = np.repeat([0, 1], [16, 4])
    assert np.exp(seen_log_prior(label, 2, 0.5)) == pytest.approx([4 / 6, 2 / 6])
    assert np.exp(seen_log_prior(label, 2, 1.0)) == pytest.approx([0.5, 0.5])


def test_tau_has_the_best_balanced_accuracy_on_val_and_is_the_smallest_of_equals():
    val = split()
    prior = seen_log_prior(val.label, 4, 0.0)
    tau = fitted_tau(val, prior)
    grid = np.linspace(0, 2, 41)
    theirs = [balanced_accuracy_score(val.label, (val.logits - t * prior).argmax(axis=1)) for t in grid]
    assert tau == pytest.approx(grid[np.isclose(theirs, max(theirs), atol=1e-12)][0])


def test_tau_is_one_where_the_logits_are_the_bayes_rules_and_many_images_say_so():
    val = split(sizes=(60_000, 6_000, 600), signal=1.2)
    prior = seen_log_prior(val.label, 3, 0.0)
    assert fitted_tau(val, prior) == pytest.approx(1.0, abs=0.2)


def test_tau_is_nought_where_all_classes_are_alike():
    val = split(sizes=(50, 50, 50))
    prior = seen_log_prior(val.label, 3, 0.0)
    assert fitted_tau(val, prior) == 0
    assert adjusted(val, prior, 0).logits == pytest.approx(val.logits)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 3.0])
def test_what_minimises_the_expected_focal_loss_is_turned_back_into_the_class_probabilities(gamma):
    truth = np.array([0.55, 0.25, 0.15, 0.05])
    v = _focal_minimiser(truth, gamma)
    assert v.max() < truth.max()  # focal loss makes modest
    back = focal_inverse(Split(label=np.zeros(1, dtype=np.int64), logits=np.log(v)[None, :]), gamma)
    assert back.probabilities[0] == pytest.approx(truth, abs=2e-4)


def test_neither_temperature_nor_focal_inverse_changes_a_place():
    test = split(sharpness=6.0)
    order = np.argsort(-test.logits, axis=1, kind="stable")
    for other in (scaled(test, 0.3), focal_inverse(test, 2.0)):
        assert (np.argsort(-other.logits, axis=1, kind="stable") == order).mean() > 0.999
        assert np.isfinite(other.logits).all()


def test_focal_inverse_is_defined_where_a_run_is_certain():
    certain = Split(label=np.zeros(1, dtype=np.int64), logits=np.array([[900.0, 0.0, -900.0]]))
    assert focal_inverse(certain, 2.0).probabilities[0] == pytest.approx([1, 0, 0], abs=1e-12)


@pytest.mark.parametrize(
    ("levers", "missing"),
    [
        ({}, {"focal_inverse"}),
        ({"focal_gamma": 2.0}, set()),
        ({"logit_adjustment": 1.0}, {"focal_inverse", "logit_adjustment", "hflip+logit_adjustment"}),
    ],
)
def test_an_arm_is_offered_what_its_loss_has_not_done_already(levers, missing):
    names = [one.name for one in treated(split(), split(rng_seed=1), levers)]
    assert names == [name for name in TREATMENTS if name not in missing]


def test_without_val_nothing_is_fitted_and_without_a_mirrored_image_nothing_is_mirrored():
    assert [one.name for one in treated(split(), None, {"focal_gamma": 1.0})] == ["hflip", "focal_inverse"]
    plain = [one.name for one in treated(split(mirrored=False), split(rng_seed=1), {})]
    assert plain == ["temperature", "logit_adjustment"]
    half = [one.name for one in treated(split(), split(mirrored=False, rng_seed=1), {})]
    assert half == ["hflip", "temperature", "logit_adjustment"]


def test_the_labels_of_test_choose_nothing():
    test, val = split(), split(rng_seed=1)
    shuffled = replace(test, label=test.label[::-1].copy())
    ours, theirs = (posthoc(t, val, {}) for t in (test, shuffled))
    assert ours.fitted == theirs.fitted
    for name, seen in ours.treated.items():
        assert np.array_equal(seen.predicted, theirs.treated[name].predicted)
        assert np.array_equal(seen.confidence, theirs.treated[name].confidence)


def test_what_was_fitted_is_kept_beside_the_outcomes():
    after = posthoc(split(), split(rng_seed=1), {"focal_gamma": 2.0})
    assert set(after.treated) == set(TREATMENTS)
    assert set(after.fitted) == {name for name in TREATMENTS if name.endswith(("temperature", "adjustment"))}
    assert after.errors_scaled.nll == pytest.approx(after.treated["temperature"].nll.mean())


def _sklearn_temperature(logits, label):
    """T of scikit-learn's temperature scaling of a frozen classifier."""
    frozen = FrozenEstimator(Logits().fit(logits, label))
    scaler = CalibratedClassifierCV(frozen, method="temperature").fit(logits, label)
    ((calibrator,),) = (calibrated.calibrators for calibrated in scaler.calibrated_classifiers_)
    return 1 / calibrator.beta_


def _focal_minimiser(truth, gamma):
    """The probabilities of least expected focal loss, by descent over the simplex."""

    def loss(z):
        v = special.softmax(z)
        return -(truth * (1 - v) ** gamma * np.log(v)).sum()

    found = optimize.minimize(loss, np.log(truth), method="BFGS", options={"gtol": 1e-10})
    return special.softmax(found.x)
