"""What a first stage picks of what it tried: the best on val, front by front, and never the baseline."""

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection, create_study
from optuna.trial import create_trial

from dermtune.picking import objectives, pick
from dermtune.plan import Screen, Search, Sweep
from dermtune.selection import Tried

SPACE = {"focal_gamma": FloatDistribution(0.0, 5.0)}


def searched(confirm=3, *, metric="balanced_accuracy", guards=("top1",), with_guards=False):
    first = Search(space=SPACE, n_points=40, confirm=confirm, with_guards=with_guards)
    return Sweep(name="s", baseline={"focal_gamma": 0.0}, first=first, primary_metric=metric, guard_metrics=guards)


def point(number, *, state="done", gamma=None, trial_id=None, **scores):
    return Tried(
        number=number,
        name=f"point-{number}" if number else "baseline",
        levers={"focal_gamma": float(number) / 10 if gamma is None else gamma},
        trial_ids=(trial_id or f"id{number}",),
        state=state,
        epochs=4,
        scores=scores,
    )


def numbers(sweep, tried):
    return [picked.number for picked in pick(sweep, tried)]


def test_the_best_by_the_metric_become_the_arms_in_its_order_and_change_what_sets_them_apart():
    tried = [point(0, balanced_accuracy=0.9)] + [
        point(n, balanced_accuracy=score) for n, score in ((1, 0.5), (2, 0.7), (3, 0.6), (4, 0.4))
    ]
    picks = pick(searched(), tried)
    assert [(p.arm, p.number, p.levers) for p in picks] == [
        ("pick-1", 2, {"focal_gamma": 0.2}),
        ("pick-2", 3, {"focal_gamma": 0.3}),
        ("pick-3", 1, {"focal_gamma": 0.1}),
    ]


@pytest.mark.parametrize(("metric", "best"), [("ece", 1), ("over_prediction:mel", 1), ("recall:mel", 2)])
def test_where_less_is_better_the_least_is_picked(metric, best):
    tried = [point(0, **{metric: 0.5}), point(1, **{metric: 0.1}), point(2, **{metric: 0.9})]
    assert numbers(searched(1, metric=metric), tried) == [best]


def test_what_was_pruned_failed_has_the_baselines_levers_or_is_another_point_again_is_passed_over():
    tried = [
        point(0, balanced_accuracy=0.5),
        point(1, state="pruned", balanced_accuracy=0.99),
        point(2, state="failed"),
        point(3, gamma=0.0, balanced_accuracy=0.98),  # the baseline's levers
        point(4, trial_id="id0", balanced_accuracy=0.97),  # the baseline's trial by another name
        point(5, balanced_accuracy=0.6),
        point(6, trial_id="id5", balanced_accuracy=0.6),
        point(7, balanced_accuracy=0.6),
    ]
    assert numbers(searched(), tried) == [5, 7]  # fewer than three; of two equals the earlier first


def test_a_search_in_which_nothing_is_done_picks_nothing():
    assert pick(searched(), [point(0, balanced_accuracy=0.5), point(1, state="failed")]) == ()


def test_a_search_whose_points_are_all_worse_than_the_baseline_still_picks_its_best():
    assert numbers(searched(1), [point(n, balanced_accuracy=0.9 - n / 10) for n in range(3)]) == [1]


def test_with_guards_what_no_other_beats_in_all_goes_first_then_what_only_that_beats():
    scores = {1: (0.9, 0.1), 2: (0.5, 0.5), 3: (0.1, 0.9), 4: (0.8, 0.05), 5: (0.4, 0.4), 6: (0.3, 0.3)}
    tried = [point(0, balanced_accuracy=1.0, top1=1.0)]
    tried += [point(n, balanced_accuracy=a, top1=b) for n, (a, b) in scores.items()]
    assert numbers(searched(6, with_guards=True), tried) == [1, 2, 3, 4, 5, 6]
    assert numbers(searched(6), tried) == [1, 4, 2, 5, 6, 3]


@pytest.mark.parametrize("seed", range(5))
def test_the_first_front_is_the_one_that_optuna_finds(seed):
    rng = np.random.default_rng(seed)
    scores = rng.random((25, 2))
    tried = [point(0, top1=2.0, ece=0.0)]
    tried += [point(n, top1=a, ece=b) for n, (a, b) in enumerate(scores, start=1)]
    study = create_study(directions=[StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE])
    for a, b in scores:
        study.add_trial(create_trial(values=[a, b]))
    front = {trial.number + 1 for trial in study.best_trials}
    sweep = searched(len(front), metric="top1", guards=("ece",), with_guards=True)
    assert set(numbers(sweep, tried)) == front


def test_the_survivors_of_a_screening_keep_their_names():
    sweep = Sweep(
        name="s", grid={"focal_gamma": (0.0, 1.0, 2.0)}, baseline={"focal_gamma": 0.0}, first=Screen(confirm=1)
    )
    tried = [
        Tried(
            number=n,
            name=name,
            levers={"focal_gamma": float(n)},
            trial_ids=(f"{n}a", f"{n}b"),
            state="done",
            epochs=4,
            scores={"balanced_accuracy": n / 10},
        )
        for n, name in enumerate(("baseline", "focal_gamma=1", "focal_gamma=2"))
    ]
    (picked,) = pick(sweep, tried)
    assert (picked.arm, picked.levers) == ("focal_gamma=2", {"focal_gamma": 2.0})


def test_the_guard_metrics_are_objectives_only_where_a_search_seeks_them():
    assert objectives(searched()) == ("balanced_accuracy",)
    assert objectives(searched(with_guards=True)) == ("balanced_accuracy", "top1")
    assert objectives(searched(metric="top1", with_guards=True)) == ("top1",)
