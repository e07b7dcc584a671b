"""Trials that train in one program: admitted one by one, each with an end of its own, run again where they must."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from analysis.predictions import read_predictions
from dermtune import tuner
from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.ending import Ending
from dermtune.frozen.bundles import Unfit
from dermtune.ledger import SweepFolder
from dermtune.tuner.admission import Admission
from dermtune.tuner.cluster import connected
from dermtune.tuner.events import Events
from dermtune.tuner.receiving import Receiver
from dermtune.tuner.worker import Job, run_bundle
from dermtune.verify import main as verify_main
from tests.monitors import Heard
from tests.plans import planned
from tests.tiny_sweep import RECIPE, TinySweep
from tests.tuner_workers import PLACE, Diary, Fake, FakeTogether

HEADS = tuple(
    replace(trial, config=trial.config.with_levers({"tuning": "head"}))
    for trial in planned(n_arms=4, n_seeds=1).trials
)


def titles(*numbers):
    return [HEADS[number].title for number in numbers]


def test_of_a_bundle_that_the_budget_cannot_pay_the_first_trials_that_it_can_are_run(tmp_path):
    books = Books(SweepFolder(tmp_path), HEADS)
    budget = Budget(books, Limits(hours=2.5), TrialHours(expected=1.0))
    admission = Admission(budget)
    admission.slots = lambda: 2
    admission.give([HEADS])
    assert admission.suggest("one") == {"trial_ids": [trial.trial_id for trial in HEADS[:2]]}
    assert admission.suggest("two") is None  # what is under way may take less
    admission.on_trial_complete("one")
    assert admission.suggest("three") == Admission.FINISHED
    assert admission.refused


def test_of_a_bundle_that_is_given_back_only_what_has_not_ended_comes_again(tmp_path):
    budget = Budget(Books(SweepFolder(tmp_path), HEADS))
    admission = Admission(budget)
    admission.slots = lambda: 2
    admission.give([HEADS])
    admission.suggest("one")
    budget.settle(HEADS[0].trial_id, done=True)
    admission.give_back("one")
    assert admission.suggest("two") == {"trial_ids": [trial.trial_id for trial in HEADS[1:]]}
    for trial in HEADS[1:]:
        budget.settle(trial.trial_id, done=True)
    admission.give_back("two")
    for name in ("one", "two"):
        admission.on_trial_complete(name)
    assert admission.suggest("three") == Admission.FINISHED
    assert not admission.refused


def test_every_free_slot_is_given_a_trial_at_once_one_waits_for_the_next_and_what_is_given_back_comes_again(
    tmp_path,
):
    nodes, trials = ["one"], HEADS
    admission = Admission(Budget(Books(SweepFolder(tmp_path), HEADS)))
    admission.slots = lambda: len(nodes)
    admission.give([(trial,) for trial in trials])

    def given(*names):
        return [suggested and suggested["trial_ids"] for suggested in map(admission.suggest, names)]

    assert given("a", "b", "c") == [[trials[0].trial_id], [trials[1].trial_id], None]
    nodes.append("another")
    assert given("c", "d") == [[trials[2].trial_id], None]
    admission.give_back("a")
    assert given("d") == [None], "it keeps its slot"
    admission.on_trial_complete("a")
    assert given("d", "e") == [[trials[0].trial_id], None]
    for name in ("b", "c", "d"):
        admission.on_trial_complete(name)
    assert given("e") == [[trials[3].trial_id]]
    assert admission.suggest("f") is None, "e may be given back"
    admission.on_trial_complete("e")
    assert admission.suggest("f") == Admission.FINISHED


@pytest.fixture(scope="module")
def unlucky(tmp_path_factory):
    """A bundle of four whose first worker dies when two have ended, the second of them diverged."""
    here = tmp_path_factory.mktemp("bundle")
    diary, heard, folder = Diary(here / "diary"), Heard(), SweepFolder(here / "sweep")
    together = FakeTogether(diary=diary, diverging=HEADS[1].title, killed_after=2)
    with connected(None):
        ending = tuner.run(
            HEADS, folder, PLACE, cpus=2, monitors=(heard,), execute=Fake(diary=diary), together=together
        )
    return ending, heard, folder, diary


def test_one_that_diverges_is_recorded_and_the_others_finish(unlucky):
    ending, heard, folder, _ = unlucky
    assert ending == Ending(finished=3, failed=1)
    assert heard.reasons == {HEADS[1].title: "training loss is nan in epoch 2"}
    failure = json.loads((folder.trial(HEADS[1].trial_id).path / "failure.json").read_text())
    assert failure["status"] == "diverged"


def test_after_its_worker_was_killed_what_was_done_stays_and_the_others_start_again(unlucky):
    _, heard, _, diary = unlucky
    assert [note.trial for note in diary.notes()] == titles(0, 1, 2, 3) + titles(2, 3)
    again = ["started", "epoch 1", "lost its worker and starts again", "started", "epoch 1", "finished with 0.60"]
    assert heard.of(HEADS[2]) == heard.of(HEADS[3]) == again
    assert heard.of(HEADS[0]) == ["started", "epoch 1", "finished with 0.60"]


def test_where_a_bundle_is_unfit_for_features_none_of_its_trials_finds_that_out_again(tmp_path, monkeypatch):
    ran, told = [], []
    monkeypatch.setattr("dermtune.tuner.worker.tune.report", told.append)

    def together(*_, **__):
        raise Unfit("its head is more than a linear layer")

    def execute(trial, place, folder, *, on_images, **_):
        ran.append((trial.title, on_images))
        raise ValueError("no images here")

    job = Job(
        trials_of=lambda config: HEADS[:2], folder=SweepFolder(tmp_path), place=PLACE, cpus=1, gpus=0,
        usd_per_hour=None, execute=execute, together=together,
    )  # fmt: skip
    run_bundle({}, job)
    assert ran == [(title, True) for title in titles(0, 1)]
    assert [(event["event"], event["reason"]) for event in told] == [("failed", "no images here")] * 2


def test_a_head_that_has_a_checkpoint_goes_on_from_it(tmp_path):
    heard, folder = Heard(), SweepFolder(tmp_path)
    chooser = Admission(Budget(Books(folder, HEADS)))
    events = Events(lambda config: HEADS[:2], folder, heard, None, None, chooser, Receiver(folder))
    begun = folder.trial(HEADS[0].trial_id)
    begun.write_history([{"epoch": 1, "train_loss": 1.0}])
    begun.checkpoint.mkdir()
    (begun.checkpoint / "epoch").write_text("1")
    events.on_trial_recover(1, [], SimpleNamespace(trial_id="one", config={}))
    assert heard.of(HEADS[0]) == ["lost its worker and goes on from its last checkpoint"]
    assert heard.of(HEADS[1]) == ["lost its worker and starts again"]


def test_a_sweep_of_heads_is_as_any_other_to_its_report_and_to_verify(tmp_path):
    recipe = RECIPE.replace("epochs=4, batch_size=64)", 'epochs=4, batch_size=64),\n levers=Levers(tuning="head")')
    recipe = recipe.replace("import Config, DataConfig,", "import Config, DataConfig, Levers,")
    sweep = TinySweep.written(tmp_path / "here", tmp_path / "shared", recipe=recipe)
    said = sweep.run()
    assert said.returncode == 0, said.stdout
    manifests = sweep.trials()
    assert len(manifests) == 4
    keys = {(manifest["seed"], manifest["frozen_features"]) for manifest in manifests.values()}
    assert len(keys) == 2  # both arms of a seed share its features
    assert (sweep.folder / "report" / "report.html").exists()
    for trial_id, manifest in manifests.items():
        assert read_predictions(sweep.folder / "trials" / trial_id / "test.parquet").arm == manifest["arm"]
    assert verify_main([str(sweep.folder), "--strict"]) == 0
