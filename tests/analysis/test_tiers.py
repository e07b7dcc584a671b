"""Tiers of every arm: thresholds from val alone, shares and risks from test, deltas paired by seed."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.abstain import lowest_threshold
from analysis.comparison import compare
from analysis.metrics import outcome
from analysis.posthoc import PostHoc
from analysis.study import Run, SourceError
from analysis.tiers import Stated
from tests.analysis.conftest import make_study as drawn

SIZES = (500, 160, 60, 20)
STATED = Stated(answer=0.2, top3=0.1)
FEW = 1000
"""Resamples."""


def val_of(rng, gain):
    """An outcome on a val of 740 images, and the lesion of each: two images a lesion."""
    label = np.repeat(np.arange(4), SIZES)
    logits = rng.normal(0, 1.5, (740, 4)) + (1.2 + gain) * np.eye(4)[label]
    p = np.exp(logits)
    return outcome(label, p / p.sum(axis=1, keepdims=True)), np.repeat(np.arange(370), 2).astype(str)


def with_val(study, seed=0):
    """The study whose runs have a val that is drawn as its test set is, a bit easier."""
    rng = np.random.default_rng(seed)

    def treated(run):
        seen, groups = val_of(rng, 0.8)
        return replace(run, posthoc=PostHoc(val=seen, val_groups=groups))

    return replace(study, arms=tuple(replace(arm, runs=tuple(map(treated, arm.runs))) for arm in study.arms))


@pytest.fixture(scope="module")
def study():
    return with_val(drawn(gains=(0.6, 0.0), sizes=SIZES))


@pytest.fixture(scope="module")
def tiers(study):
    return compare(study, stated=STATED, n_resamples=FEW).abstain


def test_thresholds_are_those_of_each_runs_own_val(study, tiers):
    for arm, judged in zip(study.arms, tiers.arms, strict=True):
        for run, frozen in zip(arm.runs, judged.runs, strict=True):
            val, groups = run.posthoc.val, run.posthoc.val_groups.astype(int)
            assert frozen.answer == lowest_threshold(val.confidence, ~val.right, groups, risk=STATED.answer)
    assert (tiers.n_val_images, tiers.n_val_groups) == (740, 370)
    assert all(run.answer is not None for arm in tiers.arms for run in arm.runs)


def test_test_labels_do_not_move_the_thresholds(study, tiers):
    def worse(run: Run):
        return replace(run, outcome=replace(run.outcome, rank=np.full_like(run.outcome.rank, 3)))

    arms = tuple(replace(arm, runs=tuple(map(worse, arm.runs))) for arm in study.arms)
    spoilt = compare(replace(study, arms=arms), stated=STATED, n_resamples=FEW).abstain
    for before, after in zip(tiers.arms, spoilt.arms, strict=True):
        assert [(run.answer, run.top3) for run in before.runs] == [(run.answer, run.top3) for run in after.runs]
        assert after.answer.risk.mean == 1
        assert after.answer.n_within == 0


def test_every_image_is_in_one_tier_and_each_tiers_risk_is_counted_in_it(study, tiers):
    run, frozen = study.arms[1].runs[2].outcome, tiers.arms[1].runs[2]
    answered = run.confidence >= frozen.answer
    assert frozen.answered == pytest.approx(answered.mean())
    assert frozen.error == pytest.approx((run.predicted != run.label)[answered].mean())
    for arm in tiers.arms:
        assert arm.answer.share.mean + arm.top3.share.mean + arm.abstained == pytest.approx(1)
        by_class = np.average([c.answered for c in arm.classes], weights=[c.n_images for c in arm.classes])
        assert by_class == pytest.approx(arm.answer.share.mean)
        assert arm.curve.error[-1] == pytest.approx(1 - arm.test_accuracy)


def test_deltas_are_means_over_seeds_of_paired_differences(study, tiers):
    baseline, *others = tiers.arms
    for i, arm in enumerate(others):
        pairs = list(zip(arm.runs, baseline.runs, strict=True))
        assert tiers.answered[i].delta == pytest.approx(np.mean([a.answered - b.answered for a, b in pairs]))
        assert tiers.error[i].delta == pytest.approx(np.mean([a.error - b.error for a, b in pairs]))
        assert tiers.aurc[i].delta == pytest.approx(arm.aurc.mean - baseline.aurc.mean)
    assert tiers.aurc[0].real
    assert tiers.aurc[0].delta < 0


def test_for_new_seeds_on_this_test_set_a_deltas_interval_is_the_paired_t_interval(make_study):
    study = with_val(make_study(gains=(0.6,), sizes=SIZES, seeds=tuple(range(8))))
    found = compare(study, stated=STATED, estimand="seeds", n_resamples=20_000).abstain
    arm, baseline = ([run.answered for run in of.runs] for of in reversed(found.arms))
    expected = stats.ttest_rel(arm, baseline).confidence_interval(0.95)
    (held,) = found.answered
    assert (held.ci_low, held.ci_high) == pytest.approx(
        (expected.low, expected.high), abs=0.05 * (expected.high - expected.low)
    )


def test_where_val_bears_no_threshold_nothing_is_answered_and_no_error_is_told(study):
    strict = compare(study, stated=Stated(answer=0.001, top3=0.001), n_resamples=FEW).abstain
    for arm in strict.arms:
        assert arm.abstained == 1
        assert arm.answer.risk is None
        assert arm.answer.hit_rate is None
    assert strict.error == ()
    assert {held.delta for held in strict.answered} == {0.0}


def test_single_runs_have_tiers_and_no_deltas(make_study):
    study = with_val(make_study(gains=(0.6,), sizes=SIZES, seeds=(0,)))
    found = compare(study, stated=STATED, n_resamples=FEW).abstain
    assert [arm.answer.share.sd for arm in found.arms] == [None, None]
    assert (found.answered, found.error, found.aurc) == ((), (), ())


def test_without_val_there_are_no_tiers(make_study, study):
    assert compare(make_study(sizes=SIZES), n_resamples=FEW).abstain is None
    assert compare(study, n_resamples=FEW, quick=True).abstain is None


@pytest.mark.parametrize("risk", [0.0, 1.0, -0.1, float("nan")])
def test_a_risk_that_is_none_is_refused(study, risk):
    with pytest.raises(SourceError, match=r"answer_risk must be above 0 and below 1, got"):
        compare(study, stated=Stated(answer=risk))
    with pytest.raises(SourceError, match=r"top3_risk must be above 0 and below 1, got"):
        compare(study, stated=Stated(top3=risk))
