import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from analysis.metrics import (
    OVERALL,
    MetricError,
    class_sizes,
    metric_named,
    outcome,
    over_predictions,
    overall_scores,
    recalls,
)


@st.composite
def classified(draw):
    """Labels with every class in them, and probabilities that lean towards the truth."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k, n = draw(st.integers(4, 8)), draw(st.integers(8, 200))
    label = np.concatenate([np.arange(k), rng.integers(0, k, n)])
    logits = rng.normal(0, draw(st.floats(0.1, 5)), (len(label), k)) + 1.5 * np.eye(k)[label]
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return label, exp / exp.sum(axis=1, keepdims=True)


@settings(deadline=None, max_examples=50)
@given(classified())
def test_scores_are_those_of_scikit_learn(data):
    label, p = data
    ours, predicted = overall_scores(label, p), p.argmax(axis=1)
    assert ours["top1"] == pytest.approx(sk.accuracy_score(label, predicted))
    assert ours["top3"] == pytest.approx(sk.top_k_accuracy_score(label, p, k=3))
    assert ours["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(label, predicted))
    assert ours["macro_f1"] == pytest.approx(sk.f1_score(label, predicted, average="macro"))
    assert ours["nll"] == pytest.approx(sk.log_loss(label, p))
    by_class = sk.recall_score(label, predicted, average=None, labels=range(p.shape[1]), zero_division=0)
    assert recalls(outcome(label, p)) == pytest.approx(by_class)
    confusion = sk.confusion_matrix(label, predicted)
    assert over_predictions(outcome(label, p)) == pytest.approx(confusion.sum(axis=0) / confusion.sum(axis=1))


def test_ece_is_the_gap_between_confidence_and_accuracy_weighted_by_bin():
    p = np.array([[0.9, 0.1], [0.92, 0.08], [0.6, 0.4], [0.6, 0.4]])
    label = np.array([0, 1, 0, 0])
    # 0.9 and 0.92 share a bin: half right at .91 on average; the pair at .6 is wholly right.
    assert overall_scores(label, p)["ece"] == pytest.approx(0.5 * abs(0.5 - 0.91) + 0.5 * abs(1 - 0.6))


def test_a_confidence_of_one_lies_in_the_last_bin():
    p = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert overall_scores(np.array([0, 1]), p)["ece"] == pytest.approx(0.5)


def test_a_certain_and_wrong_answer_has_a_large_but_finite_nll():
    assert overall_scores(np.array([1]), np.array([[1.0, 0.0]]))["nll"] == pytest.approx(36.04, abs=0.01)


def test_of_equal_probabilities_the_first_class_is_predicted_and_ranked_first():
    tied = outcome(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]]))
    assert tied.predicted.tolist() == [0, 0]
    assert tied.rank.tolist() == [0, 1]


def test_a_class_without_images_leaves_the_macro_means():
    label, p = np.array([0, 0, 1]), np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    assert overall_scores(label, p)["balanced_accuracy"] == pytest.approx((0.5 + 1) / 2)
    assert overall_scores(label, p)["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert np.isnan(recalls(outcome(label, p))[2])


@settings(deadline=None, max_examples=25)
@given(classified())
def test_over_prediction_of_a_class_is_a_metric_and_scikit_learns_counts(data):
    label, p = data
    done = outcome(label, p)
    metric = metric_named("over_prediction:1", classes=[str(k) for k in range(p.shape[1])], sizes=class_sizes(done))
    confusion = sk.confusion_matrix(label, p.argmax(axis=1), labels=range(p.shape[1]))
    assert metric.score(done) == pytest.approx(confusion[:, 1].sum() / confusion[1].sum())
    assert not metric.higher_is_better


@settings(deadline=None, max_examples=25)
@given(classified(), st.sampled_from((*OVERALL, "recall:2", "over_prediction:2")))
def test_the_gradient_is_what_a_small_change_of_the_weights_does(data, name):
    label, p = data
    seen = outcome(label, p)
    sizes = class_sizes(seen)
    metric = metric_named(name, classes=[str(k) for k in range(p.shape[1])], sizes=sizes)
    features, of_class = metric.features(seen), np.eye(p.shape[1])[label]
    push = 1e-6 * np.random.default_rng(0).normal(size=len(label))
    slope = metric.gradient(features.sum(axis=0), sizes)
    expected = push @ (features @ slope.sums + slope.masses[label])
    moved = metric.value((1 + push) @ features, (1 + push) @ of_class)
    assert float(moved) - metric.score(seen) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "message"), [("auc", "metric must be one of"), ("recall:x", "the classes are a, b")]
)
def test_an_unknown_metric_or_class_is_named_with_what_there_is(name, message):
    with pytest.raises(MetricError, match=message):
        metric_named(name, classes=("a", "b"), sizes=np.array([1.0, 1.0]))


def test_a_recall_without_images_is_refused():
    with pytest.raises(MetricError, match="'b' has none"):
        metric_named("recall:b", classes=("a", "b"), sizes=np.array([1.0, 0.0]))
