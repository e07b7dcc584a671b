"""What becomes of the classes: against scikit-learn, by hand, and in worlds where no arm differs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from analysis.comparison import compare
from analysis.confusion import Confused, ErrorShare, confusion
from analysis.estimates import Design
from analysis.influence import units_of
from analysis.metrics import class_sizes, metric_named, outcome
from analysis.resampling import Draws
from analysis.study import Arm, Question, Run, Study
from analysis.tail import tail_of
from tests.effort import growth

SIZES = (120, 60, 30, 20, 10, 10)


def told(label, predicted, k):
    """The outcome of a run that is sure of what it says."""
    return outcome(label, np.eye(k)[predicted])


def study_of(label, said, k):
    """A study of arms whose runs said these classes, [A, R, N]."""
    ids = np.array([f"img{j:05d}" for j in range(len(label))])
    arms = [
        Arm(
            name=f"arm{a}" if a else "baseline",
            levers={},
            runs=tuple(Run(seed=i, outcome=told(label, run, k)) for i, run in enumerate(runs)),
        )
        for a, runs in enumerate(said)
    ]
    return Study(
        question=Question(name="drawn", sentence="", baseline="baseline", arms={arm.name: {} for arm in arms}),
        classes=tuple(f"class{i}" for i in range(k)),
        sample_id=ids,
        group_id=ids,
        label=label,
        arms=tuple(arms),
    )


def design_of(study, *, estimand="both", n_resamples=1000, seed=0):
    return Design(
        study=study,
        units=units_of(study.label, study.group_id, len(study.classes)),
        estimand=estimand,
        run_sd=0.006,
        draws=Draws(n_resamples=n_resamples, seed=seed),
        look=None,
        baseline=study.arms[0],
        others=study.arms[1:],
    )


def null_study(rng, *, n_arms=4, n_seeds=5, response=0.5, shift=0.1, sizes=SIZES):
    """Arms that do not differ but by chance: images answer to an arm more or less, and runs to their seed."""
    k, label = len(sizes), np.repeat(np.arange(len(sizes)), sizes)
    n, easy = len(label), np.linspace(2.5, 1.2, k)[np.repeat(np.arange(k), sizes)]
    images = rng.normal(0, 1.5, (n, k)) + easy[:, None] * np.eye(k)[label]
    of_arms = images + rng.normal(0, response, (n_arms, 1, n, k))
    logits = of_arms + rng.normal(0, shift, (n_arms, n_seeds, 1, k)) + rng.normal(0, 0.4, (n_arms, n_seeds, n, k))
    return study_of(label, logits.argmax(axis=-1), k)


@pytest.fixture(scope="module")
def study():
    return null_study(np.random.default_rng(0))


@pytest.fixture(scope="module")
def tail(study):
    return tail_of(design_of(study))


def test_the_confusion_matrix_is_scikit_learns_mean_over_runs(study):
    runs = [run.outcome for run in study.arms[1].runs]
    theirs = np.mean([sk.confusion_matrix(run.label, run.predicted) for run in runs], axis=0)
    np.testing.assert_allclose(confusion(runs), theirs)


def test_every_classs_recall_moves_by_what_scikit_learn_says(study, tail):
    for place, arm in enumerate(study.arms[1:]):
        theirs = mean_recalls(arm) - mean_recalls(study.arms[0])
        assert [move.recall[place].arm for move in tail.classes] == [arm.name] * len(SIZES)
        np.testing.assert_allclose([move.recall[place].delta for move in tail.classes], theirs, atol=1e-12)


def mean_recalls(arm):
    return np.mean([sk.recall_score(r.outcome.label, r.outcome.predicted, average=None) for r in arm.runs], axis=0)


def test_a_group_is_a_third_of_the_classes_and_moves_by_their_mean_recall(study, tail):
    assert [group.classes for group in tail.groups] == [
        ("class0", "class1"), ("class2", "class3"), ("class4", "class5")
    ]  # fmt: skip
    deltas = mean_recalls(study.arms[2]) - mean_recalls(study.arms[0])
    np.testing.assert_allclose([group.deltas[1].delta for group in tail.groups], deltas.reshape(3, 2).mean(axis=1))


def test_over_prediction_is_linear_in_how_often_images_are_drawn_where_classes_are_strata(study):
    run, k = study.arms[0].runs[0].outcome, len(SIZES)
    metric = metric_named("over_prediction:class4", classes=study.classes, sizes=class_sizes(run))
    sums, masses = metric.features(run).toarray(), np.eye(k)[run.label]
    rng = np.random.default_rng(1)
    drawn = np.concatenate([rng.multinomial(size, np.full(size, 1 / size)) for size in SIZES])
    gradient = metric.gradient(sums.sum(axis=0), masses.sum(axis=0))
    influence = sums @ gradient.sums + masses @ gradient.masses
    exact = metric.value(drawn @ sums, drawn @ masses) - metric.score(run)
    assert exact == pytest.approx((drawn - 1) @ influence)


@pytest.mark.parametrize("metric", [ErrorShare(predicted=0), Confused(true=1, predicted=0)])
def test_the_gradient_of_a_metric_of_the_confusion_matrix_is_its_slope(study, metric):
    run = study.arms[0].runs[0].outcome
    sums, masses = metric.features(run).toarray().sum(axis=0), class_sizes(run)
    gradient, step = metric.gradient(sums, masses), 1e-4
    for place, slope in enumerate(gradient.sums):
        moved = step * np.eye(len(sums))[place]
        rise = metric.value(sums + moved, masses) - metric.value(sums - moved, masses)
        assert rise / (2 * step) == pytest.approx(slope, rel=1e-6, abs=1e-9)
    for place, slope in enumerate(gradient.masses):
        moved = step * np.eye(len(masses))[place]
        rise = metric.value(sums, masses + moved) - metric.value(sums, masses - moved)
        assert rise / (2 * step) == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_classes_that_have_nothing_in_common_widen_each_others_intervals_as_sidak_says():
    rng, k, n_seeds = np.random.default_rng(5), 8, 6
    label = np.repeat(np.arange(k), 400)
    wrong = rng.random((2, n_seeds, len(label))) < 0.3
    design = design_of(
        study_of(label, np.where(wrong, (label + 1) % k, label), k), estimand="seeds", n_resamples=40_000
    )
    first = [move.recall[0] for move in tail_of(design).classes]
    widening = [(h.ci_high_simultaneous - h.ci_low_simultaneous) / (h.ci_high - h.ci_low) for h in first]
    df = n_seeds - 1  # two arms in blocks of seeds
    independent = stats.t.isf((1 - 0.95 ** (1 / k)) / 2, df) / stats.t.isf(0.025, df)
    np.testing.assert_allclose(widening, independent, rtol=0.04)


def test_an_interval_without_width_shows_nothing(tail):
    held = tail.classes[0].recall[0]
    certain = replace(held, delta=0.5, ci_low_simultaneous=0.5, ci_high_simultaneous=0.5)
    assert not certain.real
    assert replace(certain, ci_low_simultaneous=0.4).real


def test_the_sink_is_the_class_that_others_flow_into_and_its_flows_add_up():
    rng, sizes = np.random.default_rng(2), (100, 80, 40, 20)
    label = np.repeat(np.arange(4), sizes)
    swallowed = rng.random((2, 5, len(label))) < np.array([0.4, 0.1])[:, None, None]
    said = np.where(swallowed & (label > 0), 0, label)
    study = study_of(label, said, 4)
    sink = tail_of(design_of(study)).sink
    baseline, arm = sink.arms
    matrices = [
        np.mean([sk.confusion_matrix(label, run, labels=range(4)) for run in runs], axis=0) for runs in said
    ]
    assert (sink.name, sink.real) == ("class0", True)
    for found, matrix in zip(sink.arms, matrices, strict=True):
        assert found.net_inflow == pytest.approx(matrix[:, 0].sum() - 100)
        assert found.share == pytest.approx(1.0)  # every error is one
        assert sum(flow.images for flow in found.inflows) == pytest.approx(matrix[1:, 0].sum())
    assert [flow.name for flow in baseline.inflows] == ["class1", "class2", "class3"]
    assert arm.over_prediction_delta.delta == pytest.approx(arm.over_prediction - baseline.over_prediction)
    assert arm.net_inflow_delta.delta == pytest.approx(arm.net_inflow - baseline.net_inflow)
    assert arm.over_prediction_delta.real
    assert arm.net_inflow_delta.real


def test_where_errors_go_either_way_no_class_is_a_sink():
    rng, label = np.random.default_rng(3), np.repeat(np.arange(4), 60)
    other = (label + rng.integers(1, 4, (2, 5, 240))) % 4
    said = np.where(rng.random((2, 5, 240)) < 0.3, other, label)
    assert not tail_of(design_of(study_of(label, said, 4))).sink.real


def test_the_confusion_that_moved_most_is_found_with_its_rates():
    rng, label = np.random.default_rng(4), np.repeat(np.arange(4), 100)
    melanoma_called_nevus = (label == 1) & (rng.random((2, 6, 400)) < np.array([0.4, 0.1])[:, None, None])
    said = np.where(melanoma_called_nevus, 0, label)
    (found,) = tail_of(design_of(study_of(label, said, 4))).confusions
    before, after = (melanoma_called_nevus[a].sum(axis=1).mean() for a in (0, 1))
    assert (found.true, found.predicted) == ("class1", "class0")
    assert (found.before, found.after) == pytest.approx((before / 100, after / 100))
    assert found.images == pytest.approx(after - before)
    assert found.delta.real
    assert found.delta.ci_high_simultaneous < 0


def test_confusions_cost_so_much_an_arm_where_arms_change_the_same_ones():
    def confusions(n_arms):
        study = null_study(np.random.default_rng(1), n_arms=n_arms, n_seeds=2, sizes=(12, 6))
        return lambda: tail_of(design_of(study, n_resamples=10))

    assert growth(confusions, 40, 160) < 1.5


def test_arms_that_say_the_same_change_no_confusion_and_move_nothing(study):
    twins = replace(study, arms=(study.arms[0], replace(study.arms[0], name="twin")))
    tail = tail_of(design_of(twins))
    assert tail.confusions == ()
    assert not any(delta.delta or delta.real for move in tail.classes for delta in move.recall)


def test_a_class_without_images_is_left_out():
    label = np.repeat([0, 1, 3], 40)
    rng = np.random.default_rng(6)
    said = np.where(rng.random((2, 3, 120)) < 0.2, 2, label)
    tail = tail_of(design_of(study_of(label, said, 4)))
    assert [move.name for move in tail.classes] == ["class0", "class1", "class3"]
    assert tail.n_confusions == 1 * 3 * 3


def test_a_report_has_the_long_tail_unless_it_is_quick_or_compares_nothing(study):
    assert compare(study, n_resamples=200).tail.classes[0].name == "class0"
    assert compare(study, n_resamples=200, quick=True).tail is None
    alone = replace(study, arms=study.arms[:1])
    assert compare(alone, n_resamples=200).tail is None


@pytest.mark.slow
@pytest.mark.parametrize("response", [0.1, 0.5])
def test_no_family_errs_more_often_than_it_says_with_classes_of_ten_images(response):
    n_sets, rng = 150, np.random.default_rng(7)
    errors = np.zeros(4)
    for seed in range(n_sets):
        study = null_study(rng, n_seeds=4, response=response, shift=0.3 if response < 0.5 else 0.1)
        tail = tail_of(design_of(study, seed=seed))
        errors += [
            any(delta.real for move in tail.classes for delta in move.recall),
            any(delta.real for move in tail.classes for delta in move.over_prediction),
            any(delta.real for group in tail.groups for delta in group.deltas),
            any(found.delta.real for found in tail.confusions),
        ]
    assert (errors / n_sets <= 0.055 + 2 * np.sqrt(0.05 * 0.95 / n_sets)).all()
