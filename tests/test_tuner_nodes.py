"""A sweep on a cluster of several nodes, one of which goes away."""

import pytest

from dermtune import tuner
from dermtune.ending import Ending
from dermtune.ledger import SweepFolder
from dermtune.monitors import Monitor
from tests.clusters import two_nodes
from tests.plans import planned
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
