"""What a search proposes and learns outlasts any kill: nothing is lost, doubled or proposed anew."""

import json
import math
import shutil
import statistics
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import TrialState
from scipy import stats

from dermtune.journal import FILE, Journal, JournalError, importances, trials, tried
from dermtune.ledger import Pruned, SweepFolder
from dermtune.tuner.pruning import Pruning
from tests.searches import EPOCHS, hill, searched


class Searching:
    """A search whose points are scored at once, without a worker."""

    def __init__(self, path, points=None, scores=hill):
        self.points, self.folder, self.scores = points or searched(), SweepFolder(path), scores

    def journal(self):
        return Journal(self.points, self.folder)

    def finish(self, trial):
        folder, scores = self.folder.trial(trial.trial_id), self.scores(trial.levers)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write_history([self.row(trial, epoch) for epoch in range(1, EPOCHS + 1)])
        for split in ("val", "test"):
            folder.predictions(split).write_bytes(b"predictions")
        folder.finish({"arm": trial.arm, "seed": trial.seed, "scores": {"val": scores, "test": {}}})

    def row(self, trial, epoch):
        return {"epoch": epoch, **{f"val_{k}": v * epoch / EPOCHS for k, v in self.scores(trial.levers).items()}}

    def prune(self, trial, epochs=2):
        folder = self.folder.trial(trial.trial_id)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write_history([self.row(trial, epoch) for epoch in range(1, epochs + 1)])
        folder.prune(Pruned(epochs=epochs, scores=self.scores(trial.levers)))

    def fail(self, trial):
        folder = self.folder.trial(trial.trial_id)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.fail("failed", "out of memory", "")

    def run(self, journal, n=math.inf):
        """Propose and finish points until there are `n` more, or all."""
        proposed = []
        while not journal.is_full and len(proposed) < n:
            trial = journal.propose()
            if not journal.settle(trial):
                self.finish(trial)
                journal.settle(trial)
            proposed.append(trial)
        return proposed

    def study(self):
        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(self.folder.search / FILE))
        )
        return optuna.load_study(study_name=None, storage=storage)


def levers_of(proposed):
    return [dict(trial.levers) for trial in proposed]


def test_the_baseline_comes_first_and_there_are_as_many_points_as_were_asked_for(tmp_path):
    search = Searching(tmp_path)
    proposed = search.run(search.journal())
    assert [trial.arm for trial in proposed] == ["baseline", *(f"point-{n}" for n in range(1, 6))]
    assert [one.state for one in tried(search.points, search.folder)] == ["done"] * 6
    assert trials(search.points, search.folder) == tuple(proposed)


@pytest.mark.parametrize("n_before", range(1, 14, 3))
def test_a_search_that_is_taken_up_again_proposes_what_an_undisturbed_one_does(tmp_path, n_before):
    points = searched(n_points=14)
    whole = Searching(tmp_path / "whole", points)
    undisturbed = whole.run(whole.journal())
    killed = Searching(tmp_path / "killed", points)
    first = killed.run(killed.journal(), n_before)
    assert levers_of(first + killed.run(killed.journal())) == levers_of(undisturbed)


def test_another_seed_proposes_other_points(tmp_path):
    one, other = (Searching(tmp_path / str(s), searched(seeds=(s,))) for s in (1000, 1001))
    assert levers_of(one.run(one.journal()))[1:] != levers_of(other.run(other.journal()))[1:]


def test_points_that_were_under_way_when_a_driver_died_go_on_with_the_same_levers(tmp_path):
    search = Searching(tmp_path)
    journal = search.journal()
    done, *under_way = (journal.propose() for _ in range(3))
    search.finish(done)  # and the driver is gone before it tells
    again = search.journal()
    assert again.open_trials() == tuple(under_way)
    assert [one.number for one in tried(search.points, search.folder)] == [0]
    assert len(search.run(again)) == 3, "six in all"


def test_what_ended_before_the_driver_could_tell_is_told_by_the_next(tmp_path):
    search = Searching(tmp_path)
    journal = search.journal()
    done, pruned, open_one = (journal.propose() for _ in range(3))
    search.finish(done)
    search.prune(pruned)
    search.journal()
    states = [trial.state for trial in search.study().trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING]
    assert [one.state for one in tried(search.points, search.folder)] == ["done", "pruned"]
    assert open_one.arm == "point-2"


def test_a_pruned_point_is_kept_with_what_each_epoch_scored(tmp_path):
    search = Searching(tmp_path)
    journal = search.journal()
    trial = journal.propose()
    search.prune(trial, epochs=3)
    assert journal.settle(trial)
    [kept] = search.study().trials
    best = hill(trial.levers)["balanced_accuracy"]
    assert kept.intermediate_values == pytest.approx({n: best * n / EPOCHS for n in (1, 2, 3)})
    assert kept.value == pytest.approx(best * 3 / EPOCHS)
    [one] = tried(search.points, search.folder)
    assert (one.state, one.epochs, one.scores) == ("pruned", 3, hill(trial.levers))
    assert search.journal().open_trials() == ()


@pytest.mark.parametrize("torn", ['{"op_code":4,"worker_id":"x","stu', '{"op_code":4', "{", "\x00\x00\x00"])
def test_a_last_line_that_a_kill_cut_off_is_no_line(tmp_path, torn):
    search = Searching(tmp_path)
    before = search.run(search.journal(), 3)
    with (search.folder.search / FILE).open("a") as file:
        file.write(torn)
    assert len(tried(search.points, search.folder)) == 3, "who only reads is not disturbed either"
    after = search.run(search.journal())
    assert [one.name for one in tried(search.points, search.folder)] == [trial.arm for trial in before + after]


def test_every_prefix_of_the_journal_is_a_search_that_goes_on(tmp_path):
    """A kill cuts the file anywhere: each point of the rest is as it was, and in the end there are all."""
    search = Searching(tmp_path, searched(n_points=4, confirm=1))
    proposed = levers_of(search.run(search.journal()))
    content = (search.folder.search / FILE).read_bytes()
    for end in range(0, len(content), 97):
        (search.folder.search / FILE).write_bytes(content[:end])
        search.run(search.journal())
        assert levers_of(trials(search.points, search.folder)) == proposed


def test_a_journal_that_is_damaged_is_refused_in_a_line_that_says_what_to_do(tmp_path):
    search = Searching(tmp_path)
    search.run(search.journal(), 2)
    path = search.folder.search / FILE
    path.write_text(path.read_text().replace('"op_code"', "op code", 1))
    for read in (search.journal, lambda: tried(search.points, search.folder)):
        with pytest.raises(
            JournalError, match=rf"{path} must hold what the search has proposed.*move it away"
        ) as no:
            read()
        assert "\n" not in str(no.value)


def test_points_with_equal_levers_are_one_trial_and_an_exhausted_space_comes_to_an_end(tmp_path):
    space = {"focal_form": CategoricalDistribution(["soft", "modulated"])}
    points = searched(space=space, baseline={"focal_form": "soft"}, n_points=8)
    search = Searching(tmp_path, points, scores=lambda levers: {"balanced_accuracy": 0.5, "top1": 0.5})
    search.run(search.journal())
    assert len(tried(points, search.folder)) == 2
    assert len(list((search.folder.path / "trials").iterdir())) == 2
    assert {trial.state for trial in search.study().trials} == {TrialState.COMPLETE}
    assert len(search.study().trials) == 8


def test_a_twin_of_a_point_under_way_ends_with_it(tmp_path):
    space = {"focal_form": CategoricalDistribution(["soft"])}
    search = Searching(
        tmp_path,
        searched(space=space, baseline={"focal_form": "soft"}),
        scores=lambda _: {"balanced_accuracy": 0.5, "top1": 0.5},
    )
    journal = search.journal()
    first, twin = journal.propose(), journal.propose()
    assert (first, journal.open_trials()) == (twin, (first,))
    search.finish(first)
    journal.settle(first)
    assert journal.open_trials() == ()


def test_a_point_that_failed_is_tried_again_at_the_next_start_as_the_same_point(tmp_path):
    search = Searching(tmp_path)
    journal = search.journal()
    proposed = [journal.propose() for _ in range(6)]
    for trial in proposed:
        (search.fail if trial is proposed[2] else search.finish)(trial)
        journal.settle(trial)
    assert journal.is_full
    assert [one.state for one in tried(search.points, search.folder)].count("failed") == 1
    again = search.journal()
    assert again.is_full, "it is no further point"
    assert again.open_trials() == (proposed[2],)
    assert search.folder.trial(proposed[2].trial_id).failure() is None
    search.finish(proposed[2])
    again.settle(proposed[2])
    assert [(one.number, one.state) for one in tried(search.points, search.folder)] == [
        (n, "done") for n in range(6)
    ]
    assert search.journal().open_trials() == ()


def test_done_points_that_were_damaged_and_set_aside_run_again_as_the_same_points(tmp_path):
    search = Searching(tmp_path)
    proposed = search.run(search.journal())
    lost = (proposed[0], proposed[2])
    for trial in lost:
        shutil.rmtree(search.folder.trial(trial.trial_id).path)
    for _ in range(2):  # the second start finds them open, and opens none again
        again = search.journal()
        assert again.is_full, "they are no further points"
        assert again.open_trials() == lost
        assert len(search.study().trials) == 6 + 2
    for trial in lost:
        search.finish(trial)
        again.settle(trial)
    assert [(one.number, one.state) for one in tried(search.points, search.folder)] == [
        (n, "done") for n in range(6)
    ]
    assert search.journal().open_trials() == ()


def test_another_question_in_the_same_folder_learns_nothing_from_this_one(tmp_path):
    one = Searching(tmp_path)
    one.run(one.journal())
    wider = searched(space={**one.points.search.space, "focal_gamma": FloatDistribution(0, 8)})
    other = Searching(tmp_path, wider)
    assert tried(other.points, other.folder) == ()
    baseline = other.journal().propose()
    assert baseline.trial_id == one.points.baseline.trial_id
    assert [point.number for point in tried(other.points, other.folder)] == [0], "done already, for both"
    assert len(tried(one.points, one.folder)) == 6


def test_more_points_go_on_where_fewer_ended(tmp_path):
    few = Searching(tmp_path, searched(n_points=4))
    first = few.run(few.journal())
    more = Searching(tmp_path, searched(n_points=7))
    assert len(more.run(more.journal())) == 3
    assert trials(more.points, more.folder)[:4] == tuple(first)


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


def test_what_only_reads_makes_no_journal(tmp_path):
    search = Searching(tmp_path)
    assert (tried(search.points, search.folder), trials(search.points, search.folder)) == ((), ())
    assert list(tmp_path.iterdir()) == []


class Told:
    """Rungs of ASHA as Ray's scheduler asks for them."""

    def __init__(self, search, **earlier):
        self.search = search
        self.pruning = Pruning(search.points, search.folder, earlier.get("earlier", ()))

    def add(self, trial):
        config = {"trial_ids": [trial.trial_id], "arm": trial.arm, "epochs": 9}
        tune_trial = SimpleNamespace(trial_id=trial.arm, config=config)
        self.pruning.on_trial_add(None, tune_trial)
        return tune_trial

    def tell(self, tune_trial, epoch, score):
        place = f"rows/{tune_trial.config['trial_ids'][0]}"
        row = {f"{place}/epoch": float(epoch), f"{place}/val_balanced_accuracy": score}
        return self.pruning.on_trial_result(None, tune_trial, row)


def points_at(search, n):
    return [search.points.trial(number, {"focal_gamma": number / 10}) for number in range(n)]


def test_a_point_behind_at_a_rung_is_pruned_but_never_the_baseline(tmp_path):
    told = Told(Searching(tmp_path, searched(epochs=9, grace_epochs=1, reduction=3)))
    baseline, *others = [told.add(trial) for trial in points_at(told.search, 5)]
    assert [told.tell(trial, 1, score) for trial, score in zip(others, (0.5, 0.6, 0.7, 0.1), strict=True)] == [
        *["CONTINUE"] * 3,
        "STOP",
    ]
    assert told.tell(baseline, 1, 0.0) == "CONTINUE"
    assert told.pruning.pruned == {"point-4"}


def test_nothing_is_pruned_in_its_last_epoch_or_between_rungs(tmp_path):
    told = Told(Searching(tmp_path, searched(epochs=9, grace_epochs=3, reduction=3)))
    _, good, bad = [told.add(trial) for trial in points_at(told.search, 3)]
    for epoch in range(1, 10):
        assert told.tell(good, epoch, 0.9) == "CONTINUE"
    assert [told.tell(bad, epoch, 0.1) for epoch in (1, 2, 3)] == ["CONTINUE", "CONTINUE", "STOP"]
    late = told.add(points_at(told.search, 4)[3])
    assert told.tell(late, 9, 0.1) == "CONTINUE"


def test_what_earlier_starts_have_seen_counts_at_the_rungs(tmp_path):
    search = Searching(tmp_path, searched(epochs=EPOCHS, grace_epochs=2, reduction=2))
    earlier = points_at(search, 4)
    for trial in earlier:
        search.finish(trial)
    told = Told(search, earlier=earlier)
    fresh = told.add(search.points.trial(7, {"focal_gamma": 4.9}))
    assert told.tell(fresh, 2, 0.01) == "STOP", "alone in this start, and behind those before it"


def test_a_trial_that_was_given_back_is_taken_in_again_as_one_without_epochs(tmp_path):
    told = Told(Searching(tmp_path, searched(epochs=9, grace_epochs=1, reduction=3)))
    point = told.add(points_at(told.search, 2)[1])
    point.config["trial_ids"] = []
    told.pruning.on_trial_add(None, point)  # as Tune does where its node has gone
    assert told.pruning.on_trial_result(None, point, {"event": "handed back"}) == "CONTINUE"


def test_a_trial_that_goes_on_is_not_judged_again_at_a_rung_it_has_passed(tmp_path):
    search = Searching(tmp_path, searched(epochs=9, grace_epochs=2, reduction=3))
    baseline, one, other = points_at(search, 3)
    for trial, score in ((one, 0.9), (other, 0.1)):
        folder = search.folder.trial(trial.trial_id)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write_history([{"epoch": n, "val_balanced_accuracy": score} for n in (1, 2)])
    told = Told(search, earlier=[one])
    assert told.tell(told.add(other), 3, 0.1) == "CONTINUE"
    assert told.pruning.pruned == set()
    assert baseline.arm == "baseline"
