"""What a search proposes: Optuna's points, better than random ones, and what they say of each lever."""

import json
import statistics

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import TrialState
from scipy import stats

from dermtune.journal import importances, tried
from tests.searches import hill, searched
from tests.searching import Searching, levers_of


def test_another_seed_proposes_other_points(tmp_path):
    one, other = (Searching(tmp_path / str(s), searched(seeds=(s,))) for s in (1000, 1001))
    assert levers_of(one.run(one.journal()))[1:] != levers_of(other.run(other.journal()))[1:]


@pytest.mark.parametrize(("metric", "best"), [("balanced_accuracy", max), ("nll", min)])
def test_the_search_goes_to_where_the_metric_is_better(tmp_path, metric, best):
    """From the eleventh point on TPE proposes; most of what it proposes lies nearer to the better end."""
    space = {"focal_gamma": FloatDistribution(0, 5)}
    points = searched(space=space, metric=metric, n_points=30)
    search = Searching(tmp_path, points, scores=lambda levers: {metric: levers["focal_gamma"] / 5, "top1": 0.5})
    gammas = [trial.levers["focal_gamma"] for trial in search.run(search.journal())]
    end = best(0.0, 5.0)
    assert statistics.median(abs(gamma - end) for gamma in gammas[12:]) < 1.0


def test_two_objectives_are_sought_at_once_and_a_pruned_point_has_none_of_them(tmp_path):
    search = Searching(tmp_path, searched(with_guards=True, n_points=12))
    journal = search.journal()
    search.run(journal, 11)
    last = journal.propose()
    search.prune(last)
    journal.settle(last)
    study = search.study()
    assert [len(trial.values) for trial in study.trials[:-1]] == [2] * 11
    assert (study.trials[-1].state, study.trials[-1].values) == (TrialState.PRUNED, None)
    best = {trial.number for trial in study.best_trials}
    dominated = {
        a.number
        for a in study.trials[:-1]
        for b in study.trials[:-1]
        if all(y >= x for x, y in zip(a.values, b.values, strict=True)) and a.values != b.values
    }
    assert best == set(range(11)) - dominated


def test_tpe_finds_a_known_optimum_sooner_than_random_points_over_seeds(tmp_path):
    """The best of 40 points on a hill of two levers, over ten seeds: nearer to the summit, by a Wilcoxon test."""
    ours, random = [], []
    for seed in range(100, 110):
        search = Searching(tmp_path / str(seed), searched(seeds=(seed,), n_points=40))
        search.run(search.journal())
        ours.append(max(one.scores["balanced_accuracy"] for one in tried(search.points, search.folder)))
        study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=seed))
        study.optimize(
            lambda trial: hill(
                {
                    "focal_gamma": trial.suggest_float("focal_gamma", 0, 5),
                    "label_smoothing": trial.suggest_float("label_smoothing", 0, 0.5),
                }
            )["balanced_accuracy"],
            n_trials=40,
        )
        random.append(study.best_value)
    assert stats.wilcoxon(ours, random, alternative="greater").pvalue < 0.01
    assert np.mean(ours) > 0.799, "the summit is 0.8"


def test_a_proposal_is_what_optunas_own_sampler_proposes_from_the_same_points(tmp_path):
    search = Searching(tmp_path, searched(n_points=20))
    proposed = search.run(search.journal())
    for number in (5, 15):
        seed = int(np.random.SeedSequence([1000, number]).generate_state(1)[0])
        study = optuna.create_study(direction="maximize", sampler=TPESampler(seed=seed))
        study.add_trials(search.study().trials[:number])
        assert study.ask(dict(search.points.search.space)).params == dict(proposed[number].levers)


def test_importances_are_each_levers_share_and_those_of_fanova(tmp_path):
    def mostly_gamma(levers):
        return {"balanced_accuracy": levers["focal_gamma"] + 0.5 * levers["label_smoothing"], "top1": 0.5}

    search = Searching(tmp_path, searched(n_points=25), scores=mostly_gamma)
    search.run(search.journal())
    shares = importances(search.points, search.folder)
    assert list(shares) == ["focal_gamma", "label_smoothing"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["focal_gamma"] > 0.9
    json.dumps(shares)


def test_there_are_no_importances_before_two_points_differ(tmp_path):
    search = Searching(tmp_path, scores=lambda levers: {"balanced_accuracy": 0.5, "top1": 0.5})
    assert importances(search.points, search.folder) == {}
    journal = search.journal()
    search.run(journal, 1)
    assert importances(search.points, search.folder) == {}
    search.run(journal, 3)
    assert importances(search.points, search.folder) == {}


def test_two_points_that_differ_are_enough_for_importances(tmp_path):
    search = Searching(tmp_path)
    search.run(search.journal(), 2)
    assert sum(importances(search.points, search.folder).values()) == pytest.approx(1)
