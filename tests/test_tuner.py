"""A sweep's trials on Ray Tune: in order, each recorded once, none in the way of another."""

import itertools
import json

import pytest
import ray

from dermtune import tuner
from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.ending import Ending
from dermtune.ledger import SweepFolder
from dermtune.machines import Machines
from dermtune.monitors import Monitor
from dermtune.tuner.cluster import connected
from dermtune.tuner.events import CRASHES
from tests import tuner_workers as workers
from tests.monitors import Heard
from tests.plans import planned
from tests.tuner_workers import PLACE, Diary, Fake


class Broken(Monitor):
    def started(self, trial):
        raise RuntimeError("no terminal")

    epoch = noticed = finished = pruned = failed = lambda self, *_: self.started(None)


class Sweep:
    """A sweep that has been run, and all that tells what happened."""

    def __init__(self, tmp_path, the_plan, **how):
        self.plan = the_plan
        self.folder = SweepFolder(tmp_path / "sweep")
        self.diary = Diary(tmp_path / "diary")
        self.heard = Heard()
        self.how = how

    def run(self, trials=None, *, cpus, budget=None, extra_monitors=()):
        return tuner.run(
            self.plan.trials if trials is None else trials,
            self.folder,
            PLACE,
            Machines(cpus=cpus),
            budget=budget,
            monitors=(*extra_monitors, self.heard),
            execute=Fake(diary=self.diary, **self.how),
        )

    def budget(self, limit, expected=None):
        books = Books(self.folder, self.plan.trials)
        return Budget(books, Limits(hours=limit), TrialHours(expected=expected))

    def failure(self, trial):
        return json.loads((self.folder.trial(trial.trial_id).path / "failure.json").read_text())

    def began(self, trial):
        return [note for note in self.diary.notes() if note.trial == trial.title]


@pytest.fixture(scope="module")
def all_cpus():
    """One Ray for the module, and the cores that it has."""
    with connected(None):
        yield ray.cluster_resources()["CPU"]


@pytest.fixture(scope="module")
def ordinary(all_cpus, tmp_path_factory):
    """Six trials in two slots, followed by a monitor that is broken."""
    sweep = Sweep(tmp_path_factory.mktemp("ordinary"), planned(n_arms=3), seconds=0.05, company=2)
    sweep.ending = sweep.run(cpus=all_cpus / 2, extra_monitors=[Broken()])
    return sweep


def test_every_trial_of_the_plan_is_done(ordinary):
    assert ordinary.ending == Ending(finished=6)
    assert len(ordinary.folder.done(ordinary.plan.trials)) == 6


def test_trials_start_in_the_plans_order_so_that_seeds_fill_up_block_by_block(ordinary):
    started = [title for event, title in ordinary.heard.events if event == "started"]
    late = [started.index(trial.title) - place for place, trial in enumerate(ordinary.plan.trials)]
    assert {*late} <= {-1, 0, 1}, "of two that are given at once either may have its process first"


def test_as_many_trials_train_at_a_time_as_there_are_slots_and_no_more(ordinary):
    began, sealed = ordinary.diary.notes(), ordinary.diary.notes("sealed")
    steps = sorted([(note.at, 1) for note in began] + [(note.at, -1) for note in sealed])
    assert max(itertools.accumulate(step for _, step in steps)) == 2


def test_each_monitor_hears_of_each_trial_though_one_of_them_is_broken(ordinary):
    for trial in ordinary.plan.trials:
        score = f"finished with 0.6{trial.seed}"
        assert ordinary.heard.of(trial) == ["started", "epoch 1", "epoch 2", score]


def test_a_worker_runs_one_trial_after_the_other_without_a_new_process(ordinary):
    assert len({note.pid for note in ordinary.diary.notes()}) == 2


def test_nothing_of_ray_is_left_in_the_sweeps_folder(ordinary):
    assert [path.name for path in ordinary.folder.path.iterdir()] == ["trials"]


@pytest.fixture(scope="module")
def unlucky(all_cpus, tmp_path_factory):
    """One trial for each way to go wrong, and one that is well behind them."""
    ways = [workers.refuse, workers.diverge, workers.die_once, workers.die, workers.die_sealed]
    the_plan = planned(n_arms=2, n_seeds=3)
    mishaps = {trial.title: way for trial, way in zip(the_plan.trials, ways, strict=False)}
    sweep = Sweep(tmp_path_factory.mktemp("unlucky"), the_plan, mishaps=mishaps)
    sweep.ending = sweep.run(cpus=all_cpus / 2)
    return sweep


def test_mishaps_of_some_trials_are_counted_and_the_others_go_on(unlucky):
    assert unlucky.ending == Ending(finished=3, failed=3)
    assert "finished with 0.62" in unlucky.heard.of(unlucky.plan.trials[5])


def test_a_trial_that_raises_is_recorded_in_a_line_with_its_traceback_and_not_tried_again(unlucky):
    refused = unlucky.plan.trials[0]
    reason = "an image must have three channels, got 4"
    assert unlucky.heard.reasons[refused.title] == reason
    assert len(unlucky.began(refused)) == 1
    failure = unlucky.failure(refused)
    assert (failure["status"], failure["reason"]) == ("failed", reason)
    assert "in refuse" in failure["detail"]
    assert "ValueError" in failure["detail"]


def test_a_trial_whose_loss_is_no_number_is_recorded_as_diverged(unlucky):
    diverged = unlucky.plan.trials[1]
    assert unlucky.failure(diverged)["status"] == "diverged"
    assert len(unlucky.began(diverged)) == 1


def test_a_trial_whose_worker_is_killed_goes_on_from_its_last_epoch(unlucky):
    killed = unlucky.plan.trials[2]
    lost = "lost its worker and goes on from its last checkpoint"
    assert unlucky.heard.of(killed) == ["started", "epoch 1", lost, "started", "epoch 2", "finished with 0.61"]
    assert len({note.pid for note in unlucky.began(killed)}) == 2
    assert unlucky.folder.trial(killed.trial_id).failure() is None


def test_a_trial_that_kills_each_of_its_workers_fails_after_a_few(unlucky):
    deadly = unlucky.plan.trials[3]
    assert len(unlucky.began(deadly)) == 1 + CRASHES
    failure = unlucky.failure(deadly)
    assert failure["reason"] == unlucky.heard.reasons[deadly.title]
    assert failure["reason"].startswith("its worker died 3 times")
    assert "ActorDiedError" in failure["detail"] or "actor died" in failure["detail"]


def test_a_trial_that_was_sealed_when_its_worker_died_is_not_trained_again(unlucky):
    sealed = unlucky.plan.trials[4]
    assert len(unlucky.began(sealed)) == 1
    assert unlucky.heard.of(sealed)[-1] == "finished with 0.62"


def test_a_reason_that_cannot_be_written_is_heard_all_the_same(all_cpus, tmp_path):
    sweep = Sweep(tmp_path, planned(n_arms=1, n_seeds=1))
    folder = sweep.folder.trial(sweep.plan.trials[0].trial_id).path
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    assert sweep.run(cpus=all_cpus) == Ending(failed=1)
    assert "Not a directory" in sweep.heard.reasons[sweep.plan.trials[0].title]


def hours(n):
    """The hours of `n` fake trials, of 72 seconds each."""
    return n * 72 / 3600


def test_a_budget_is_filled_with_whole_trials_and_says_when_it_is_spent(all_cpus, tmp_path):
    sweep = Sweep(tmp_path, planned(n_arms=2, n_seeds=3))
    budget = sweep.budget(hours(3.9), expected=hours(1))
    assert sweep.run(cpus=all_cpus / 2, budget=budget) == Ending(finished=3, out_of_budget=True)
    assert list(sweep.folder.done(sweep.plan.trials)) == [t.trial_id for t in sweep.plan.trials[:3]]
    assert budget.spent().hours == pytest.approx(hours(3))


def test_trials_that_take_less_than_was_feared_leave_room_for_others(all_cpus, tmp_path):
    sweep = Sweep(tmp_path, planned(n_arms=2, n_seeds=2))
    budget = sweep.budget(hours(4), expected=hours(2.5))
    assert sweep.run(cpus=all_cpus / 2, budget=budget) == Ending(finished=4)


def test_a_spent_budget_starts_nothing(all_cpus, tmp_path):
    sweep = Sweep(tmp_path, planned())
    ending = sweep.run(cpus=all_cpus, budget=sweep.budget(0.0))
    assert ending == Ending(out_of_budget=True)
    assert sweep.diary.notes() == []


@pytest.mark.parametrize(
    ("resources", "asks"),
    [({"cpus": 4096}, "4096 CPUs and 0 GPUs"), ({"cpus": 1, "gpus": 0.5}, "1 CPUs and 0.5 GPUs")],
)
def test_a_trial_that_no_node_could_ever_run_is_refused(all_cpus, tmp_path, resources, asks):
    with pytest.raises(tuner.TunerError, match=asks) as refusal:
        tuner.run(planned().trials, SweepFolder(tmp_path), PLACE, Machines(**resources))
    assert f"the nodes have {all_cpus:g} CPUs" in str(refusal.value)
    assert list(tmp_path.iterdir()) == []
