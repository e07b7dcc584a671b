"""A search on Ray Tune: proposed, pruned and told point by point, and gone on with whatever stopped it."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import ray

from dermtune import tuner
from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.ending import Ending
from dermtune.journal import Journal, trials, tried
from dermtune.ledger import SweepFolder
from dermtune.machines import Machines
from dermtune.tuner.cluster import connected
from tests import tuner_workers as workers
from tests.monitors import Heard
from tests.searches import EPOCHS, Scored, hill, searched
from tests.tuner_workers import PLACE, Diary

ROOT = Path(__file__).parents[1]


class Searched:
    """A search and all that tells what became of it."""

    def __init__(self, path, points=None, **how):
        self.points, self.folder = points or searched(), SweepFolder(path / "sweep")
        self.diary, self.heard, self.how = Diary(path / "diary"), Heard(), how

    def run(self, *, cpus=1, budget=None):
        return tuner.search(
            self.points,
            self.folder,
            PLACE,
            Machines(cpus=cpus),
            budget=budget,
            monitors=(self.heard,),
            execute=Scored(diary=self.diary, **self.how),
        )

    def tried(self):
        return {one.name: one for one in tried(self.points, self.folder)}

    def n_sealed(self):
        return Counter(note.trial for note in self.diary.notes("sealed"))

    def files(self, name):
        return {path.name for path in self.folder.trial(self.tried()[name].trial_ids[0]).path.iterdir()}


@pytest.fixture(scope="module")
def all_cpus():
    """One Ray for the module, and the cores that it has."""
    with connected(None):
        yield ray.cluster_resources()["CPU"]


def baseline_is_worst(levers):
    return {"balanced_accuracy": 0.9 - levers["label_smoothing"] if levers["focal_gamma"] else 0.01, "top1": 0.5}


def baseline_is_best(levers):
    return {"balanced_accuracy": 0.1 if levers["focal_gamma"] else 0.9, "top1": 0.5}


@pytest.fixture(scope="module")
def ordinary(all_cpus, tmp_path_factory):
    """Eight points, one after the other, of which some are pruned, one fails and one loses its worker."""
    points = searched(n_points=8, grace_epochs=1, reduction=2)
    search = Searched(
        tmp_path_factory.mktemp("ordinary"),
        points,
        scores=baseline_is_worst,
        mishaps={"point-1": workers.refuse, "point-2": workers.die_once},
    )
    search.ending = search.run(cpus=all_cpus)
    return search


def test_all_points_are_proposed_and_end_as_they_should(ordinary):
    states = Counter(one.state for one in ordinary.tried().values())
    assert len(ordinary.tried()) == 8
    assert states["pruned"] >= 2
    assert ordinary.ending == Ending(finished=states["done"], failed=1, pruned=states["pruned"])


def test_the_baseline_is_never_pruned_though_it_is_the_worst(ordinary):
    assert ordinary.tried()["baseline"].state == "done"


def test_a_pruned_point_keeps_its_history_loses_its_checkpoints_and_has_no_result(ordinary):
    [pruned, *_] = [one for one in ordinary.tried().values() if one.state == "pruned"]
    assert ordinary.files(pruned.name) == {"attempts.json", "history.csv", "pruned.json"}
    rows = ordinary.folder.trial(pruned.trial_ids[0]).history_rows()
    assert len(rows) == pruned.epochs < EPOCHS
    assert pruned.scores["balanced_accuracy"] == float(rows[-1]["val_balanced_accuracy"])
    assert ordinary.n_sealed()[f"{pruned.name} · seed 1000"] == 0


def test_monitors_hear_of_a_pruned_point_and_of_scores_on_val_alone(ordinary):
    events = {title: event for event, title in ordinary.heard.events}
    for one in ordinary.tried().values():
        score = one.scores.get("balanced_accuracy", 0)
        last = {"done": f"finished with {score:.2f}", "pruned": f"pruned after epoch {one.epochs:.1f}"}
        assert events[f"{one.name} · seed 1000"] == last.get(one.state, "failed")


def test_a_pruned_point_that_takes_long_to_leave_costs_no_other_point(all_cpus, tmp_path):
    points = searched(n_points=3, grace_epochs=1, reduction=2)
    search = Searched(tmp_path, points, scores=baseline_is_best, leaving_seconds=3.0)
    assert search.run(cpus=all_cpus) == Ending(finished=1, pruned=2)


def test_a_point_that_fails_is_recorded_and_the_others_go_on(ordinary):
    assert ordinary.tried()["point-1"].state == "failed"
    assert ordinary.heard.reasons["point-1 · seed 1000"] == "an image must have three channels, got 4"


def test_a_point_whose_worker_dies_goes_on_with_the_same_levers(ordinary):
    assert ordinary.diary.attempts(trials(ordinary.points, ordinary.folder)[2]) == 2
    assert ordinary.tried()["point-2"].state != "failed"


def test_what_a_pruned_point_cost_is_in_the_books(ordinary):
    books = Books(ordinary.folder, trials(ordinary.points, ordinary.folder))
    pruned = [one for one in ordinary.tried().values() if one.state == "pruned"]
    assert all(books.cost(one.trial_ids[0]).hours > 0 for one in pruned)


def test_only_what_failed_is_tried_again_at_the_next_start(ordinary):
    n_began = len(ordinary.diary.notes())
    ordinary.how = {"scores": baseline_is_worst}
    again = ordinary.run()
    assert (again.failed, again.finished + again.pruned) == (0, 1)
    assert len(ordinary.diary.notes()) == n_began + 1
    assert ordinary.run() == Ending()
    assert len(ordinary.tried()) == 8


def test_a_budget_stops_a_search_in_order_and_more_of_it_goes_on_as_if_nothing_had_been(all_cpus, tmp_path):
    whole = Searched(tmp_path / "whole")
    whole.run(cpus=all_cpus)

    def budget(search, n_trials):
        books = Books(search.folder, trials(search.points, search.folder))
        return Budget(books, Limits(hours=n_trials), TrialHours(expected=1.0, measured=()))

    poor = Searched(tmp_path / "poor")
    assert poor.run(cpus=all_cpus, budget=budget(poor, 0)) == Ending(out_of_budget=True)
    assert poor.diary.notes() == []
    for limits in (Limits(hours=0.9), Limits(hours=1.0)):
        books = Books(poor.folder, trials(poor.points, poor.folder))
        ending = poor.run(cpus=all_cpus, budget=Budget(books, limits, TrialHours(expected=0.95)))
    assert ending.out_of_budget is False
    assert [t.levers for t in trials(poor.points, poor.folder)] == [
        t.levers for t in trials(whole.points, whole.folder)
    ]
    assert set(poor.n_sealed().values()) == {1}


def test_two_objectives_are_sought_together(all_cpus, tmp_path):
    search = Searched(tmp_path, searched(with_guards=True, n_points=4))
    assert search.run(cpus=all_cpus) == Ending(finished=4)
    assert [one.scores for one in search.tried().values()] == [hill(one.levers) for one in search.tried().values()]


class Driver:
    """A process that goes on with the search, on a Ray of its own."""

    def __init__(self, search):
        self.search = search
        arguments = search.folder.path.parent / "arguments"
        arguments.write_bytes(
            pickle.dumps((search.points, search.folder, Scored(diary=search.diary, **search.how)))
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"from tests.searches import drive; drive({str(arguments)!r})"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, what, n, seconds=300):
        deadline = time.monotonic() + seconds
        while len(self.search.diary.notes(what)) < n:
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < deadline, f"{what} was not noted {n} times within {seconds} s"
            time.sleep(0.02)


@pytest.fixture
def drivers():
    started = []
    yield lambda search: started.append(Driver(search)) or started[-1]
    for driver in started:
        if driver.process.poll() is None:
            os.killpg(driver.process.pid, signal.SIGKILL)
        driver.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_search_that_was_stopped_goes_on_with_the_same_points_and_trains_none_twice(drivers, tmp_path, number):
    search = Searched(tmp_path, searched(n_points=6), seconds=0.2)
    first = drivers(search)
    first.wait_for("sealed", 2)
    first.wait_for("epoch", 2 * EPOCHS + 2)
    first.process.send_signal(number)
    out, _ = first.process.communicate(timeout=30)
    assert number == signal.SIGKILL or json.loads(out)["signal"] == number, "it stopped in order"
    before = trials(search.points, search.folder)
    kept = {t.title: search.folder.trial(t.trial_id).epochs_kept() for t in before}
    n_epochs = Counter(note.trial for note in search.diary.notes("epoch"))

    second = drivers(search)
    second.process.communicate(timeout=200)
    after = trials(search.points, search.folder)
    assert after[: len(before)] == before
    assert [one.state for one in search.tried().values()] == ["done"] * 6
    assert search.n_sealed() == {trial.title: 1 for trial in after}
    assert Journal(search.points, search.folder).open_trials() == ()
    again = Counter(note.trial for note in search.diary.notes("epoch"))
    went_on = [title for title, n in n_epochs.items() if kept[title] and n < EPOCHS]
    assert all(again[title] <= EPOCHS + 1 for title in went_on), "from its checkpoint, an epoch lost at most"
