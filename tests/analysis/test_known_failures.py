"""Failures known from other tools, each with the test that it does not happen here."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from analysis.comparison import compare
from analysis.influence import units_of
from analysis.metrics import metric_named, outcome
from analysis.resampling import Draws, unit_counts
from tests.analysis.conftest import make_study


def of(study, **options):
    return compare(study, n_resamples=2000, **options)


def test_draws_hang_on_the_seed_alone_and_leave_the_global_state_as_it_was():
    """rliable resampled from numpy's global state although a seed was given."""
    study = make_study()
    np.random.seed(1)  # noqa: NPY002 - the global state is what this is about
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = of(study, seed=5)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert of(study, seed=5) == first


def test_twice_the_images_are_not_twice_the_runs():
    """Images counted as runs make any interval narrow: seeds' variance must not fall with more images."""
    few, many = (make_study(sizes=sizes, seeds=range(4), noise=1.0) for sizes in ((60, 30, 15), (960, 480, 240)))
    for study in (few, many):
        (only, *_) = of(study, estimand="seeds").comparisons
        assert only.df <= 2 * 3, "two arms beside the baseline, four seeds: (3 - 1) x (4 - 1)"
    assert of(many, estimand="seeds").comparisons[0].se > 0.25 * of(few, estimand="seeds").comparisons[0].se


def test_no_replicate_loses_a_rare_class():
    """Unstratified resampling leaves a class of three out of one test set in twenty."""
    label = np.repeat([0, 1, 2], [60, 12, 3])
    units = units_of(label, np.char.zfill(np.arange(75).astype(str), 3), 3)
    counts = np.concatenate([c.T for _, c in unit_counts(units, Draws(n_resamples=2000, seed=0))])
    for stratum, size in enumerate(units.sizes):
        assert (counts[:, units.stratum == stratum].sum(axis=1) == size).all()


@pytest.mark.parametrize("metric", ["balanced_accuracy", "top1", "macro_f1", "ece", "nll"])
def test_degenerate_predictions_give_finite_intervals(metric):
    """scipy's BCa answers nan where the jackknife does not vary."""
    study = make_study(gains=(0.0,), sizes=(8, 4, 2), seeds=(0, 1))
    base = study.arms[0]
    same = replace(study, arms=(base, replace(study.arms[1], runs=base.runs)))
    for drawn in (study, same):
        (only,) = of(drawn, metric=metric).comparisons
        ends = (only.ci_low, only.ci_high, only.ci_low_simultaneous, only.ci_high_simultaneous, only.p_value)
        assert all(map(math.isfinite, ends))


def test_paired_images_are_paired():
    """lm-eval-harness #3831: an unpaired z of two scores on the same images is far too wide."""
    study = make_study(gains=(0.05,), noise=0.02, sizes=(300, 150, 80))
    (only,) = of(study, estimand="images", metric="top1").comparisons
    p = [arm.mean for arm in of(study, metric="top1").arms]
    unpaired = math.sqrt(sum(q * (1 - q) / 530 for q in p))
    assert only.se < 0.6 * unpaired


@given(gain=st.floats(-1.5, 1.5), noise=st.floats(0.01, 1), rng_seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_no_sentence_contradicts_its_numbers(gain, noise, rng_seed):
    """autorank #3: a report said equal where its interval excluded it."""
    study = make_study(gains=(gain, 0.0), noise=noise, sizes=(60, 30, 12), seeds=(0, 1, 2), rng_seed=rng_seed)
    report = compare(study, n_resamples=300)
    for c in report.comparisons:
        low, high = c.ci_low_simultaneous, c.ci_high_simultaneous
        assert (c.verdict == "keep") == (low > 0)
        assert (c.verdict == "reject") == (low <= 0 and high < report.margin)
        assert (c.label == "worse") == (high < 0)
        assert ("lies above 0" in c.reason or "lies wholly beyond" in c.reason) == (low > 0)
        assert ("holds both no gain and a gain" in c.reason) == (c.verdict == "inconclusive")
        assert f"{100 * c.delta:+.1f}".replace("-", "−").removesuffix(".0") in c.reason or not c.delta


def test_single_runs_are_never_called_significant_without_saying_what_was_assumed():
    """deep-significance #16: "significant" from one run each."""
    study = make_study(gains=(3.0,), seeds=(0,))
    (only,) = of(study, run_sd=0.001).comparisons
    assert only.verdict == "keep"
    assert "assumed run-to-run noise" in only.reason


def test_macro_f1_is_scored_anew_on_the_drawn_images_and_not_averaged_over_them():
    """A mean of per-image values is no macro-F1; its replicate is scikit-learn's at those weights."""
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], [30, 12, 5])
    probabilities = rng.dirichlet(np.ones(3), len(label)) + np.eye(3)[label]
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    done = outcome(label, probabilities)
    metric = metric_named("macro_f1", classes="abc", sizes=np.bincount(label).astype(float))
    units = units_of(label, np.char.zfill(np.arange(47).astype(str), 3), 3)
    for of_units in np.concatenate([c.T[:1] for _, c in unit_counts(units, Draws(n_resamples=50, seed=0))]):
        weights = of_units[units.of_image]
        masses = np.bincount(label, weights, minlength=3)
        ours = metric.value(weights @ metric.features(done), masses)
        assert ours == pytest.approx(f1_score(label, done.predicted, average="macro", sample_weight=weights))


@given(order=st.permutations(range(3)), rng_seed=st.integers(0, 20))
@settings(max_examples=15, deadline=None)
def test_the_order_of_arms_changes_no_number(order, rng_seed):
    study = make_study(gains=(0.3, 0.1), sizes=(40, 20, 9), seeds=(0, 1, 2), rng_seed=rng_seed)
    turned = replace(study, arms=tuple(study.arms[i] for i in order))
    here, there = compare(study, n_resamples=300), compare(turned, n_resamples=300)
    for c in here.comparisons:
        (same,) = (d for d in there.comparisons if d.arm == c.arm)
        assert (same.delta, same.se, same.ci_low, same.p_adjusted) == pytest.approx(
            (c.delta, c.se, c.ci_low, c.p_adjusted), rel=1e-5, abs=1e-9
        )
