"""Wrong labels that are only supposed: their effect has a closed form, and every draw can be scored anew."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, recall_score

from analysis import labelnoise
from analysis.comparison import compare
from analysis.labelnoise import N_DRAWS, RATES, draw_errors, rescored, votes_of
from analysis.resampling import Draws
from analysis.study import Corrected
from tests.analysis.grids import design_of

TOP = RATES[-1]


def drawn(study, model):
    """Votes of each arm, and the errors drawn from them."""
    votes = {arm.name: votes_of(arm) for arm in study.arms}
    return votes, draw_errors(design_of(study), model, votes)


def true_labels(study, errors, rate, draw):
    """The labels of one draw at one rate."""
    label = study.label.copy()
    chosen = (errors.draw == draw) & (errors.begins <= RATES.index(rate))
    label[errors.image[chosen]] = errors.true[chosen]
    return label


def under(study, label):
    """The study's runs, as far as hits go, on other labels."""
    hits = [
        replace(
            arm,
            runs=tuple(
                replace(run, outcome=replace(run.outcome, label=label, rank=run.outcome.predicted != label))
                for run in arm.runs
            ),
        )
        for arm in study.arms
    ]
    return replace(study, label=label, arms=tuple(hits))


def rescored_delta(study, metric, model):
    report = compare(study, metric=metric, n_resamples=200, quick=True)
    votes, errors = drawn(study, model)
    return report, errors, rescored(votes["arm0"] - votes["baseline"], errors, report, study.label)


def wrong_shares(study, errors):
    """Share of wrong labels of each rate, mean over draws."""
    starts = np.bincount(errors.begins, minlength=len(RATES))
    return np.cumsum(starts) / N_DRAWS / len(study.label)


def at_the_edge(make_study):
    """A gain that is just kept, and a clear one."""
    return make_study(gains=(0.15, 2.0), sizes=(300, 200, 100), seeds=range(6), margin=0.03)


def turnings(study, **options):
    report = compare(study, n_resamples=500, **options)
    return {arm.arm: {t.model: t for t in arm.turnings} for arm in report.label_noise.arms}


@pytest.mark.parametrize("model", ["uniform", "confusions"])
def test_so_many_labels_are_wrong_as_the_rate_says_in_every_class(make_study, model):
    study = make_study(sizes=(400, 200, 100))
    _, errors = drawn(study, model)
    assert (errors.true != study.label[errors.image]).all()
    np.testing.assert_allclose(wrong_shares(study, errors), RATES, atol=4 * np.sqrt(TOP / (N_DRAWS * 700)))
    of_class = np.bincount(study.label[errors.image]) / N_DRAWS / (400, 200, 100)
    np.testing.assert_allclose(of_class, TOP, atol=4 * np.sqrt(TOP / (N_DRAWS * 100)))


def test_uniform_errors_go_to_every_other_class_alike(make_study):
    study = make_study(sizes=(400, 200, 100, 50))
    _, errors = drawn(study, "uniform")
    went = np.bincount(errors.true[study.label[errors.image] == 0], minlength=4) / (TOP * 400 * N_DRAWS)
    np.testing.assert_allclose(went, [0, 1 / 3, 1 / 3, 1 / 3], atol=0.03)


def test_errors_by_confusions_go_where_all_runs_of_all_arms_go_none_favoured(make_study):
    study = make_study(sizes=(400, 200, 100, 50))
    one_seed = replace(
        study.arms[1], runs=study.arms[1].runs[:1]
    )  # one run weighs as much as the five of the others
    study = replace(study, arms=(study.arms[0], one_seed, study.arms[2]))
    _, errors = drawn(study, "confusions")
    called = np.zeros(4)
    for arm in study.arms:
        for run in arm.runs:
            wrong = run.outcome.predicted[(study.label == 0) & ~run.outcome.right]
            called += np.bincount(wrong, minlength=4) / len(arm.runs)
    went = np.bincount(errors.true[study.label[errors.image] == 0], minlength=4)
    np.testing.assert_allclose(went / went.sum(), called / called.sum(), atol=0.03)


def test_a_class_that_no_run_confuses_has_uniform_errors(make_study):
    study = make_study(sizes=(300, 300, 300), gains=(0.0,), noise=0)
    certain = [replace(run.outcome, predicted=study.label, rank=0 * run.outcome.rank) for run in study.arms[0].runs]
    runs = tuple(replace(run, outcome=o) for run, o in zip(study.arms[0].runs, certain, strict=True))
    study = replace(study, arms=tuple(replace(arm, runs=runs) for arm in study.arms))
    _, errors = drawn(study, "confusions")
    went = np.bincount(errors.true[study.label[errors.image] == 0]) / (TOP * 300 * N_DRAWS)
    np.testing.assert_allclose(went, [0, 0.5, 0.5], atol=0.03)


def test_images_of_a_lesion_share_its_error(make_study):
    groups = np.repeat([f"lesion{g:03d}" for g in range(150)], 2)
    study = make_study(sizes=(200, 60, 40), groups=groups)
    _, errors = drawn(study, "uniform")
    for draw in range(5):
        first, second = true_labels(study, errors, TOP, draw).reshape(-1, 2).T
        np.testing.assert_array_equal(first, second)
    assert compare(study, n_resamples=200).label_noise.by_group


@pytest.mark.parametrize("model", ["uniform", "confusions"])
@pytest.mark.parametrize("metric", ["balanced_accuracy", "recall:keratosis"])
def test_each_draw_is_scored_as_scikit_learn_scores_its_labels(make_study, metric, model):
    study = make_study()
    _, errors, found = rescored_delta(study, metric, model)
    for e, rate in ((2, 0.05), (7, 0.20)):
        for draw in (0, 41):
            label = true_labels(study, errors, rate, draw)
            of_arm = [
                np.mean(
                    [
                        balanced_accuracy_score(label, run.outcome.predicted)
                        if metric == "balanced_accuracy"
                        else recall_score(label == 2, run.outcome.predicted == 2)
                        for run in arm.runs
                    ]
                )
                for arm in study.arms[:2]
            ]
            assert found.delta[e, draw] == pytest.approx(of_arm[1] - of_arm[0], abs=1e-12)


def test_uniform_errors_shrink_a_delta_of_top_1_as_the_closed_form_says(make_study):
    """A wrong label hits what the arm said by chance alike in both arms: E = (1 - e K / (K - 1)) delta."""
    study = make_study(gains=(1.0,), sizes=(400, 300, 200, 100))
    report, _, found = rescored_delta(study, "top1", "uniform")
    expected = (1 - np.array([0, *RATES]) * 4 / 3) * report.comparisons[0].delta
    np.testing.assert_allclose(found.delta.mean(axis=1), expected, atol=4 * found.delta.std(axis=1).max() / 10)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "top1", "recall:melanoma"])
def test_without_errors_delta_and_image_variance_are_the_reports(make_study, metric):
    report, _, found = rescored_delta(make_study(gains=(0.5,)), metric, "uniform")
    (comparison,) = report.comparisons
    np.testing.assert_allclose(found.delta[0], comparison.delta, atol=1e-12)
    np.testing.assert_allclose(found.variance[0], comparison.v_img, rtol=1e-9)


@pytest.mark.parametrize("model", ["uniform", "confusions"])
def test_a_draw_is_what_the_report_would_find_on_its_labels(make_study, model):
    study = make_study(gains=(0.5,))
    _, errors, found = rescored_delta(study, "balanced_accuracy", model)
    for draw in range(3):
        label = true_labels(study, errors, 0.1, draw)
        (comparison,) = compare(under(study, label), n_resamples=200, quick=True).comparisons
        at = RATES.index(0.1) + 1, draw
        assert found.delta[at] == pytest.approx(comparison.delta, abs=1e-12)
        assert found.variance[at] == pytest.approx(comparison.v_img, rel=1e-9)


def test_a_clear_gain_outlives_what_turns_one_at_the_edge(make_study):
    study = at_the_edge(make_study)
    found = {c.arm: c for c in compare(study, n_resamples=500, metric="top1").comparisons}
    assert [c.verdict for c in found.values()] == ["keep", "keep"]
    edge, clear = turnings(study, metric="top1").values()
    assert clear["uniform"].rate is clear["uniform"].into is None
    assert edge["uniform"].into == "inconclusive"
    # It turns where the shrunken delta meets the half-width, which hardly moves.
    half = found["arm0"].delta - found["arm0"].ci_low_simultaneous
    meets = (1 - half / found["arm0"].delta) / 1.5
    assert edge["uniform"].rate == pytest.approx(meets, abs=0.02)


def test_an_arm_that_equals_the_baseline_is_rejected_whatever_the_labels(make_study):
    study = make_study(gains=(0.0,))
    same = replace(study.arms[1], runs=study.arms[0].runs)
    found = turnings(replace(study, arms=(study.arms[0], same)))["arm0"]
    assert all(turning.unchanged == (1.0,) * len(RATES) for turning in found.values())


def test_a_class_that_a_draw_empties_leaves_its_recall_undecided(make_study):
    study = make_study(gains=(3.0,), sizes=(200, 100, 2))
    _, errors, found = rescored_delta(study, "recall:class2", "uniform")
    emptied = [not (true_labels(study, errors, TOP, draw) == 2).any() for draw in range(N_DRAWS)]
    np.testing.assert_array_equal(np.isnan(found.delta[-1]), emptied)


@pytest.mark.parametrize("metric", ["top3", "macro_f1", "ece", "nll", "over_prediction:melanoma"])
def test_a_metric_that_needs_more_than_hits_is_not_offered_and_that_is_said(make_study, metric):
    found = compare(make_study(), metric=metric, n_resamples=200).label_noise
    assert found.arms == ()
    assert "cannot be scored on drawn labels" in found.not_offered


def test_the_same_seed_draws_the_same_labels_and_another_one_others(make_study):
    study = at_the_edge(make_study)
    report = compare(study, metric="top1", n_resamples=500, quick=True)
    one, again, other = (
        labelnoise.label_noise(report, replace(design_of(study), draws=Draws(n_resamples=500, seed=seed)))
        for seed in (0, 0, 1)
    )
    assert one == again
    assert one != other


def test_nothing_is_supposed_of_corrected_labels_nor_where_nothing_is_compared(make_study):
    study = make_study()
    alone = compare(replace(study, arms=study.arms[:1]), n_resamples=200)
    assert alone.label_noise is None
    corrected = Corrected(label=study.label, given=study.label, file=None)
    report = compare(study, n_resamples=200, quick=True)
    assert labelnoise.label_noise(report, design_of(replace(study, corrected=corrected))) is None
