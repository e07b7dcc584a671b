"""A sweep whose workers do not see its folder: all that they leave comes there through a storage."""

import signal
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import ray

from analysis.predictions import read_predictions
from dermtune import tuner
from dermtune.data.place import Place
from dermtune.depot import Carrier, DepotError, Store, depot_of, settle
from dermtune.ending import Ending
from dermtune.journal import tried
from dermtune.ledger import SweepFolder
from dermtune.signals import Signals
from dermtune.tuner.cluster import connected
from dermtune.tuner.events import Events
from dermtune.tuner.receiving import FromStorage
from dermtune.tuner.stopping import Stop
from tests import tuner_workers as workers
from tests.monitors import Heard
from tests.plans import planned
from tests.searches import Scored, searched
from tests.test_tuner_bundles import HEADS, titles
from tests.tuner_workers import Diary, Fake, FakeTogether


@pytest.fixture(scope="module", autouse=True)
def all_cpus():
    """One Ray for the module, and the cores that it has."""
    with connected(None):
        yield ray.cluster_resources()["CPU"]


@pytest.fixture
def sent(tmp_path):
    """A sweep of four trials, one of which loses its worker and one of which raises."""
    the_plan, diary, heard = planned(), Diary(tmp_path / "diary"), Heard()
    dies, raises = the_plan.trials[:2]
    fake = Fake(diary=diary, mishaps={dies.title: workers.die_once, raises.title: workers.refuse})
    folder, place = SweepFolder(tmp_path / "sweep"), Place(data_dir=tmp_path, cache_dir=tmp_path / "cache")
    depot = depot_of(folder, f"file://{tmp_path}/storage", pytest.fail)
    ending = tuner.run(the_plan.trials, folder, place, depot=depot, monitors=[heard], execute=fake)
    return the_plan, ending, heard, folder, depot, tmp_path


def test_results_failures_and_histories_come_into_the_sweeps_folder_and_nodes_keep_nothing_of_what_is_done(sent):
    the_plan, ending, heard, folder, depot, tmp_path = sent
    dies, raises, *others = the_plan.trials
    assert ending == Ending(finished=3, failed=1)
    assert set(folder.done(the_plan.trials)) == {t.trial_id for t in (dies, *others)}
    assert folder.trial(raises.trial_id).failure() == "an image must have three channels, got 4"
    assert heard.reasons == {raises.title: "an image must have three channels, got 4"}
    assert folder.trial(dies.trial_id).manifest()["notices"] == ["lost its worker and starts again"]
    on_node = tmp_path / "cache" / "trials" / depot.key / "trials"
    assert [path.name for path in on_node.iterdir()] == [raises.trial_id]
    settle(depot, folder, pytest.fail)
    assert [p for parcels in depot.all_parcels().values() for p in parcels if p.is_result] == []


def test_after_the_worker_of_a_bundle_was_killed_no_head_that_is_home_is_trained_again(tmp_path):
    folder, place = SweepFolder(tmp_path / "sweep"), Place(data_dir=tmp_path, cache_dir=tmp_path / "cache")
    diary, heard, depot = (
        Diary(tmp_path / "diary"),
        Heard(),
        depot_of(folder, f"file://{tmp_path}/storage", pytest.fail),
    )
    together = FakeTogether(diary=diary, killed_after=2)
    ending = tuner.run(
        HEADS, folder, place, cpus=2, depot=depot, monitors=[heard], execute=Fake(diary=diary), together=together
    )
    assert ending == Ending(finished=4)
    assert set(folder.done(HEADS)) == {trial.trial_id for trial in HEADS}
    assert [note.trial for note in diary.notes()] == titles(0, 1, 2, 3) + titles(2, 3)
    assert depot.all_parcels() == {}
    assert [*(tmp_path / "cache" / "trials" / depot.key / "trials").iterdir()] == []


def test_a_search_proposes_prunes_and_ends_through_a_storage_and_leaves_nothing_there(tmp_path, all_cpus):
    points, folder = searched(n_points=6, grace_epochs=1, reduction=2), SweepFolder(tmp_path / "sweep")
    place, diary = Place(data_dir=tmp_path, cache_dir=tmp_path / "cache"), Diary(tmp_path / "diary")
    depot = depot_of(folder, f"file://{tmp_path}/storage", pytest.fail)
    scored = Scored(diary=diary, mishaps={"point-1": workers.die_once})
    how = {"cpus": all_cpus, "depot": depot, "execute": scored}
    ending = tuner.search(points, folder, place, **how)
    states = Counter(one.state for one in tried(points, folder))
    assert states.keys() == {"done", "pruned"}
    assert ending == Ending(finished=states["done"], pruned=states["pruned"])
    sealed = Counter(note.trial for note in diary.notes("sealed"))
    assert (len(sealed), {*sealed.values()}) == (states["done"], {1})
    assert depot.senders() == set()
    assert tuner.search(points, folder, place, **how) == Ending()


def test_a_trial_of_two_processes_comes_home_through_a_storage(tmp_path, drawn, make_trial, fit):
    folder, trial = SweepFolder(tmp_path / "sweep"), make_trial(epochs=2)
    depot = depot_of(folder, f"file://{tmp_path}/storage", pytest.fail)
    assert tuner.run([trial], folder, drawn.place, cpus=2, processes=2, depot=depot) == Ending(finished=1)
    files = folder.trial(trial.trial_id)
    assert files.manifest()["processes"] == 2
    assert len(files.history_rows()) == 2
    logits = read_predictions(files.predictions("test")).logits
    np.testing.assert_allclose(logits, fit(trial).test.logits, atol=1e-4)
    assert depot.senders() == set()


@pytest.fixture
def came(tmp_path):
    """A result that was sent, how to have it come home, and who is told what became of that."""
    folder, trial = SweepFolder(tmp_path / "sweep"), planned().trials[0]
    depot = replace(depot_of(folder, f"file://{tmp_path}/storage", pytest.fail), patience=0.0)
    sent = SweepFolder(tmp_path / "node").trial(trial.trial_id)
    sent.write_history([{"epoch": 1, "train_loss": 1.0}])
    scores = workers.seal(sent, trial, seconds=1.0)
    Carrier(depot, sent).deliver()
    heard, signals = Heard(), Signals()
    stop = Stop(signals)
    events = Events(lambda _: [trial], folder, heard, stop, signals, None, FromStorage(folder, depot))

    def finish():
        result = {"event": "finished", "trial": trial.trial_id, "scores": scores}
        events.on_trial_result(1, [], SimpleNamespace(config={}), result)

    files = folder.trial(trial.trial_id)
    return SimpleNamespace(
        finish=finish, heard=heard, stop=stop, signals=signals, files=files, trial=trial, depot=depot
    )


def test_a_result_that_cannot_be_had_now_is_told_to_be_fetched_by_the_next_start(came, monkeypatch):
    def away(*_, **__):
        raise DepotError("it is away")

    monkeypatch.setattr(Store, "fetch", away)
    came.finish()
    assert came.heard.reasons == {came.trial.title: "it is away; the same command fetches it"}
    assert came.depot.parcels(came.trial.trial_id)[0].is_result


def test_an_account_that_is_damaged_stops_the_sweep_in_order_and_the_result_waits(came):
    came.files.path.mkdir(parents=True)
    came.files.attempts_file.write_text("{")
    came.finish()
    assert "attempts.json must hold what the trial's attempts took" in came.stop.halted
    assert came.depot.parcels(came.trial.trial_id)[0].is_result


def test_once_a_signal_came_no_result_is_waited_for_and_each_stays_where_it_is(came):
    came.signals.came = signal.SIGTERM
    came.finish()
    [reason] = came.heard.reasons.values()
    assert reason.endswith("nobody waits for it any more; the same command fetches it")
    assert came.depot.parcels(came.trial.trial_id)[0].is_result
