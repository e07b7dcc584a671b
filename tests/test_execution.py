"""One trial from folder to folder: what it leaves behind, what it costs, what it is known by."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss, top_k_accuracy_score

from analysis.predictions import read_predictions
from dermtune.config import ModelConfig
from dermtune.data.manifest import DataError
from dermtune.execution import execute
from dermtune.ledger import Diverged, TrialFolder
from dermtune.opened import fingerprints
from dermtune.origin import RECORDED_PACKAGES
from dermtune.plan import Trial


@pytest.fixture
def run(drawn, tmp_path):
    """Executes a trial in one folder and gives that folder."""
    folder = TrialFolder(tmp_path / "trial")

    def execute_here(trial: Trial, *, on_epoch=lambda row: None, **options) -> TrialFolder:
        execute(
            trial,
            drawn.place,
            folder,
            **{"threads": 1, "gpus": 0.0, "on_epoch": on_epoch, "on_notice": print, **options},
        )
        return folder

    return execute_here


def history_of(folder: TrialFolder) -> list[dict[str, str]]:
    with folder.history.open(newline="") as file:
        return list(csv.DictReader(file))


# What is left behind.


def test_a_finished_trial_leaves_predictions_history_and_manifest_and_no_checkpoint(run, make_trial):
    folder = run(make_trial())
    assert {path.name for path in folder.path.iterdir()} == {
        *("val.parquet", "test.parquet", "history.csv", "attempts.json", "manifest.json")
    }
    assert folder.is_done()


def test_the_manifest_says_what_was_trained_on_what_by_which_versions(run, make_trial, drawn):
    trial = make_trial(levers={"focal_gamma": 2.0}, seed=3)
    manifest = run(trial, threads=1, gpus=0.5).manifest()
    assert manifest["status"] == "done"
    assert manifest["trial_id"] == trial.trial_id
    assert (manifest["arm"], manifest["seed"], manifest["levers"]) == ("arm", 3, {"focal_gamma": 2.0})
    assert manifest["config"] == trial.config.to_dict()
    assert manifest["config"]["levers"]["focal_gamma"] == 2.0
    assert manifest["fingerprints"] == {"data": drawn.fingerprint}
    assert (manifest["device"], manifest["threads"], manifest["gpus"]) == ("cpu", 1, 0.5)
    assert manifest["versions"].keys() == {*RECORDED_PACKAGES, "python"}
    assert manifest["versions"]["torch"] == torch.__version__
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["seconds"] > 0
    assert manifest["commit"] is None or len(manifest["commit"].rstrip("+")) == 40


def test_the_scores_are_those_that_scikit_learn_finds_in_the_prediction_files(run, make_trial, drawn):
    folder = run(make_trial("resnet"))
    everything = range(len(drawn.data.classes))
    for split in ("val", "test"):
        scores = folder.manifest()["scores"][split]
        predictions = read_predictions(folder.predictions(split))
        label, p = predictions.label, predictions.probabilities
        assert scores["top1"] == pytest.approx(accuracy_score(label, p.argmax(1)))
        assert scores["top3"] == pytest.approx(top_k_accuracy_score(label, p, k=3, labels=everything))
        assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(label, p.argmax(1)))
        assert scores["macro_f1"] == pytest.approx(f1_score(label, p.argmax(1), average="macro", labels=everything))
        assert scores["nll"] == pytest.approx(log_loss(label, p, labels=everything))


def test_the_prediction_files_name_the_trial_and_hold_every_image_of_their_split(run, make_trial, drawn):
    trial = make_trial(seed=2)
    folder = run(trial)
    for split, data in (("val", drawn.data.val), ("test", drawn.data.test)):
        predictions = read_predictions(folder.predictions(split))
        assert (predictions.arm, predictions.seed, predictions.split) == ("arm", 2, split)
        assert predictions.trial_id == trial.trial_id
        assert predictions.classes == drawn.data.classes
        assert (predictions.sample_id == data.sample_id).all()
        assert (predictions.group_id == data.group_id).all()
        assert (predictions.label == data.label).all()


def test_the_history_is_written_epoch_by_epoch_and_each_epoch_is_told(run, make_trial, tmp_path):
    written: list[int] = []
    told: list[dict] = []

    def on_epoch(row) -> None:
        told.append(dict(row))
        written.append(len(history_of(TrialFolder(tmp_path / "trial"))))

    rows = history_of(run(make_trial(epochs=3), on_epoch=on_epoch))
    assert written == [1, 2, 3]
    assert [{name: float(value) for name, value in row.items()} for row in rows] == told
    assert {"epoch", "train_loss", "val_loss", "learning_rate", "seconds", "val_balanced_accuracy"} <= rows[
        0
    ].keys()


# Cost and time.


def test_without_a_price_there_is_no_cost(run, make_trial):
    assert run(make_trial()).manifest()["cost_usd"] is None


@pytest.mark.parametrize(("gpus", "hours_an_hour"), [(0.0, 1.0), (0.5, 0.5), (2.0, 2.0)])
def test_the_cost_is_the_price_of_the_gpu_hours_or_of_the_trials_own_without_a_gpu(
    run, make_trial, gpus, hours_an_hour
):
    priced = run(make_trial(), gpus=gpus, usd_per_hour=7.2).manifest()
    assert priced["cost_usd"] == pytest.approx(7.2 * hours_an_hour * priced["seconds"] / 3600)


def test_each_attempt_is_paid_at_its_own_price_with_its_own_gpus(run, make_trial):
    trial = make_trial(epochs=2)
    cut_off(run, trial, after=1, usd_per_hour=1000.0)
    folder = run(trial, gpus=4.0, usd_per_hour=10.0)
    first, second = folder.attempts()
    assert (first.ended, second.ended) == ("failed", "done")
    manifest = folder.manifest()
    assert manifest["attempts"] == 2
    assert manifest["seconds"] == pytest.approx(first.seconds + second.seconds)
    assert manifest["cost_usd"] == pytest.approx((1000 * first.seconds + 4 * 10 * second.seconds) / 3600)


def test_a_trial_that_diverges_leaves_what_it_took(run, make_trial, tmp_path):
    with pytest.raises(Diverged):
        run(make_trial("resnet", learning_rate=1e20))
    folder = TrialFolder(tmp_path / "trial")
    [attempt] = folder.attempts()
    assert attempt.ended == "diverged"
    assert attempt.seconds == folder.seconds() > 0


class CutOffError(Exception):
    """Ends an attempt in the middle."""


def cut_off(run, trial: Trial, *, after: int, **options) -> None:
    def on_epoch(row) -> None:
        if row["epoch"] == after:
            raise CutOffError

    with pytest.raises(CutOffError):
        run(trial, on_epoch=on_epoch, **options)


def test_a_trial_that_was_cut_off_unmetered_goes_on_and_its_seconds_count_the_earlier_epochs(
    run, make_trial, tmp_path
):
    trial = make_trial(epochs=3)
    cut_off(run, trial, after=1)
    folder = TrialFolder(tmp_path / "trial")
    rows = history_of(folder)
    folder.write_history([{**rows[0], "seconds": 1000.0}])
    folder.attempts_file.unlink()
    epochs: list[float] = []
    manifest = run(trial, on_epoch=lambda row: epochs.append(row["epoch"])).manifest()
    assert epochs == [2.0, 3.0]
    assert 1000 < manifest["seconds"] < 1100


def test_the_history_of_a_trial_that_goes_on_begins_with_what_it_was_to_the_letter(run, make_trial, tmp_path):
    trial = make_trial(epochs=3)
    cut_off(run, trial, after=1)
    before = TrialFolder(tmp_path / "trial").history.read_text()
    after = run(trial).history.read_text()
    assert after.startswith(before)
    assert after.count("\n") == 4


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_trial_that_was_cut_off_between_its_last_checkpoint_and_its_history_has_both_in_the_end(
    run, make_trial, monkeypatch, epochs
):
    trial = make_trial(epochs=epochs)
    whole = TrialFolder.write_history

    def write(self, rows) -> None:
        if len(rows) == epochs:
            raise CutOffError
        whole(self, rows)

    with monkeypatch.context() as patched:
        patched.setattr(TrialFolder, "write_history", write)
        with pytest.raises(CutOffError):
            run(trial)
    folder = run(trial)
    assert folder.is_done()
    assert [float(row["epoch"]) for row in history_of(folder)] == list(range(1, epochs + 1))


def test_an_earlier_failure_is_forgotten_when_the_trial_is_tried_again(run, make_trial, tmp_path):
    TrialFolder(tmp_path / "trial").fail("failed", "the machine was full", "")
    assert run(make_trial()).failure() is None


def test_a_trial_that_diverges_leaves_no_manifest(run, make_trial, tmp_path):
    with pytest.raises(Diverged, match="epoch 1"):
        run(make_trial("resnet", learning_rate=1e20))
    assert not TrialFolder(tmp_path / "trial").is_done()
    assert not (tmp_path / "trial" / "manifest.json").exists()


# What a trial is known by.


def test_a_trial_that_was_planned_on_other_data_is_refused(run, make_trial, drawn):
    trial = replace(make_trial(), fingerprints={"data": "of another day"})
    with pytest.raises(DataError) as caught:
        run(trial)
    for part in (str(drawn.place.data_dir), "of another day", drawn.fingerprint):
        assert part in str(caught.value)


def fine_tuning(make_trial, drawn, folder) -> Trial:
    """A trial from a local checkpoint, as the planning driver makes it."""
    trial = make_trial(ModelConfig(checkpoint=str(folder)))
    return replace(trial, fingerprints=fingerprints(trial.config, drawn.data))


def test_a_local_checkpoint_enters_the_identity_by_its_content_and_not_by_its_path(
    make_trial, drawn, siglip_checkpoint, tmp_path
):
    trial = fine_tuning(make_trial, drawn, siglip_checkpoint)
    shutil.copytree(siglip_checkpoint, tmp_path / "moved")
    moved = fine_tuning(make_trial, drawn, tmp_path / "moved")
    assert moved.trial_id == trial.trial_id
    weights = load_file(siglip_checkpoint / "model.safetensors")
    weights["vision_model.post_layernorm.bias"] += 1
    save_file(weights, tmp_path / "moved" / "model.safetensors", metadata={"format": "pt"})
    changed = fine_tuning(make_trial, drawn, tmp_path / "moved")
    assert changed.trial_id != trial.trial_id


def test_the_checkpoints_config_is_part_of_its_content(make_trial, drawn, siglip_checkpoint):
    trial = fine_tuning(make_trial, drawn, siglip_checkpoint)
    config = siglip_checkpoint / "config.json"
    described = json.loads(config.read_text())
    described["vision_config"]["layer_norm_eps"] = 1e-3
    config.write_text(json.dumps(described))
    assert fine_tuning(make_trial, drawn, siglip_checkpoint).trial_id != trial.trial_id


def test_a_hub_checkpoint_is_known_by_its_name_and_revision(make_trial, drawn):
    def trial(**model) -> Trial:
        made = make_trial(ModelConfig(**model))
        return replace(made, fingerprints=fingerprints(made.config, drawn.data))

    one = trial(checkpoint="google/medsiglip-448")
    assert one.fingerprints.keys() == {"data"}
    others = [trial(checkpoint="google/siglip-base"), trial(checkpoint="google/medsiglip-448", revision="abc")]
    assert one.trial_id not in [other.trial_id for other in others]


def test_a_trial_from_a_local_checkpoint_trains_and_records_it(run, make_trial, drawn, siglip_checkpoint):
    trial = fine_tuning(make_trial, drawn, siglip_checkpoint)
    manifest = run(trial).manifest()
    assert manifest["fingerprints"] == dict(trial.fingerprints)
    assert manifest["fingerprints"].keys() == {"data", "checkpoint"}
