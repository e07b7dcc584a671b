"""A sweep on a cluster whose nodes come and go, and of which some lack what trials need."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray

from dermtune import tuner
from dermtune.ending import Ending
from dermtune.ledger import SweepFolder
from dermtune.monitors import Monitor
from dermtune.tuner import driving
from dermtune.tuner.fitting import TunerError
from dermtune.tuner.sight import Sight
from tests.clusters import two_nodes
from tests.monitors import Heard
from tests.plans import planned
from tests.tiny_sweep import wait_until
from tests.tuner_workers import PLACE, Diary, Fake


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each; the second does not outlive the last test."""
    with two_nodes() as cluster:
        yield cluster


class NodeKiller(Monitor):
    """Takes a node away while the first trial that began there is in its third epoch."""

    def __init__(self, cluster, node, diary):
        self.cluster, self.node, self.diary = cluster, node, diary
        self.hit = None

    def started(self, trial):
        pass

    def epoch(self, trial, row):
        here = [note.trial for note in self.diary.notes() if note.node == self.node.node_id]
        if self.hit is None and row["epoch"] == 2 and trial.title in here:
            self.hit = trial
            self.cluster.remove_node(self.node, allow_graceful=False)

    def finished(self, trial, scores):
        pass

    failed = finished


def test_both_nodes_of_a_cluster_run_trials(cluster, tmp_path):
    the_plan, diary = planned(n_seeds=3), Diary(tmp_path / "diary")
    folder = SweepFolder(tmp_path / "sweep")
    fake = Fake(diary=diary, seconds=0.1, company=2)
    ending = tuner.run(the_plan.trials, folder, PLACE, address=cluster.address, execute=fake)
    assert ending == Ending(finished=6)
    assert {note.node for note in diary.notes()} == {node.node_id for node in cluster.list_all_nodes()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dim(Sight):
    """Some nodes see nothing until there is light."""

    nodes: tuple[str, ...]
    light: Path

    def lacking(self, trials):
        is_dim = ray.get_runtime_context().get_node_id() in self.nodes and not self.light.exists()
        return "sees nothing" if is_dim else None


@pytest.fixture
def dim(tmp_path, monkeypatch):
    """Makes these nodes see nothing, until the file that it returns is there."""

    def make(*nodes):
        sight = Dim(nodes=tuple(node.node_id for node in nodes), light=tmp_path / "light")
        monkeypatch.setattr(driving, "_sight", lambda *_: sight)
        return sight.light

    return make


class After(Monitor):
    """Does something once so many trials have finished."""

    def __init__(self, n, act):
        self.n, self.act, self.n_finished = n, act, 0

    def finished(self, trial, scores):
        self.n_finished += 1
        if self.n_finished == self.n:
            self.act()

    started = epoch = noticed = failed = lambda self, *_: None


def test_a_node_that_lacks_something_burns_no_trial_is_told_once_and_takes_trials_when_it_has_it(
    cluster, tmp_path, dim
):
    head, other = cluster.list_all_nodes()
    light, the_plan, diary, heard = dim(other), planned(n_seeds=6), Diary(tmp_path / "diary"), Heard()
    fake = Fake(diary=diary, seconds=0.7)
    let_there_be_light = After(2, light.touch)
    folder, monitors = SweepFolder(tmp_path / "sweep"), [heard, let_there_be_light]
    ending = tuner.run(the_plan.trials, folder, PLACE, address=cluster.address, monitors=monitors, execute=fake)
    assert ending == Ending(finished=12)
    assert {diary.attempts(trial) for trial in the_plan.trials} == {1}
    told = [what for what, _ in heard.events if "left to other nodes" in what]
    assert [what.endswith(") sees nothing") for what in told] == [True]
    sealed = sorted(diary.notes("sealed"), key=lambda note: note.at)
    assert [note.node for note in sealed[:2]] == [head.node_id] * 2
    assert {note.node for note in diary.notes()} == {head.node_id, other.node_id}


def test_where_no_node_has_what_trials_need_the_sweep_stops_with_that_line(cluster, tmp_path, dim, monkeypatch):
    dim(*cluster.list_all_nodes())
    monkeypatch.setattr(driving, "PATIENCE", 0.5)
    diary = Diary(tmp_path / "diary")
    trials, folder = planned(n_seeds=3).trials, SweepFolder(tmp_path / "sweep")
    ending = tuner.run(trials, folder, PLACE, address=cluster.address, execute=Fake(diary=diary))
    assert ending.halted.startswith("no node can take a trial: ")
    assert ending.halted.endswith(" sees nothing")
    assert (ending.finished, ending.failed, diary.notes()) == (0, 0, [])


def test_a_node_that_joins_takes_trials_and_a_trial_that_fits_on_none_waits_for_one(cluster, tmp_path, caplog):
    the_plan, diary = planned(n_seeds=1), Diary(tmp_path / "diary")
    folder, fake = SweepFolder(tmp_path / "sweep"), Fake(diary=diary)
    how = {"cpus": 3, "address": cluster.address, "execute": fake}
    with pytest.raises(TunerError, match="must fit on one node: it asks for 3 CPUs"):
        tuner.run(the_plan.trials, folder, PLACE, **how)
    ending = tuner.run(the_plan.trials, folder, PLACE, minutes_to_wait=0.01, **how)
    assert ending.halted.startswith("a trial must fit on one node: it asks for 3 CPUs")
    with ThreadPoolExecutor(1) as aside:
        running = aside.submit(tuner.run, the_plan.trials, folder, PLACE, minutes_to_wait=2, **how)
        wait_until(lambda: caplog.text.count("No node yet for a trial, waiting 2 min at most") == 1, "a line")
        joined = cluster.add_node(num_cpus=3)
        ending = running.result()
    cluster.remove_node(joined)
    assert ending == Ending(finished=2)
    assert {note.node for note in diary.notes()} == {joined.node_id}


def test_a_sweep_whose_trials_are_done_ends_though_a_node_never_had_what_they_need(cluster, tmp_path, dim):
    dim(cluster.list_all_nodes()[1])
    the_plan, diary, heard = planned(n_seeds=2), Diary(tmp_path / "diary"), Heard()
    folder, fake = SweepFolder(tmp_path / "sweep"), Fake(diary=diary, seconds=0.7)
    ending = tuner.run(the_plan.trials, folder, PLACE, address=cluster.address, monitors=[heard], execute=fake)
    assert ending == Ending(finished=4)
    assert any("left to other nodes" in what for what, _ in heard.events)


def test_trials_of_a_node_that_goes_away_go_on_elsewhere_from_their_last_epoch(cluster, tmp_path):
    the_plan, diary = planned(n_seeds=2, epochs=6), Diary(tmp_path / "diary")
    folder = SweepFolder(tmp_path / "sweep")
    killer = NodeKiller(cluster, cluster.list_all_nodes()[1], diary)
    fake = Fake(diary=diary, epochs=6, seconds=0.3, company=2)
    ending = tuner.run(the_plan.trials, folder, PLACE, address=cluster.address, monitors=[killer], execute=fake)
    assert ending == Ending(finished=4)
    assert diary.attempts(killer.hit) == 2
    assert {n for trial in the_plan.trials if trial != killer.hit for n in [diary.attempts(trial)]} == {1}
    assert sum(note.trial == killer.hit.title for note in diary.notes("epoch")) in (6, 7)
