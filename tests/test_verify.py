"""Every kind of damage that a sweep's folder may have is found and told with what to do about it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from analysis.metrics import overall_scores
from analysis.predictions import Predictions, read_predictions, write_predictions
from dermtune import verify
from dermtune.durable import read_json, write_json
from dermtune.integrity import inspect
from dermtune.ledger import SEALED, Pruned, SweepFolder
from dermtune.plan import Trial
from tests.plans import planned

N_IMAGES = {"val": 30, "test": 40}


def predicted(trial: Trial, split: str) -> Predictions:
    rng = np.random.default_rng(trial.seed)
    n = N_IMAGES[split]
    names = np.asarray([f"{split}-{i:03d}" for i in range(n)])
    return Predictions(
        arm=trial.arm,
        seed=trial.seed,
        split=split,
        trial_id=trial.trial_id,
        classes=("acne", "eczema", "tinea"),
        sample_id=names,
        group_id=names,
        label=np.arange(n, dtype=np.int16) % 3,
        logits=rng.normal(size=(n, 3)).astype(np.float32),
    )


def finish(folder: SweepFolder, trial: Trial, **more) -> None:
    at = folder.trial(trial.trial_id)
    at.write_history([{"epoch": 1, "train_loss": 0.5}])
    scores = {}
    for split in N_IMAGES:
        predictions = predicted(trial, split)
        write_predictions(at.predictions(split), predictions)
        scores[split] = dict(overall_scores(predictions.label, predictions.probabilities))
    about = {
        "trial_id": trial.trial_id,
        "arm": trial.arm,
        "levers": dict(trial.levers),
        "seed": trial.seed,
        "config": trial.config.to_dict(),
        "fingerprints": dict(trial.fingerprints),
        "scores": scores,
        "commit": "a" * 40,
        "versions": {"torch": "2.13.0"},
        "device": "cpu",
        "threads": 1,
        "gpus": 0.0,
        "seconds": 3.0,
    }
    at.finish({**about, **more})


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A sweep of two arms with three seeds each, all done."""
    folder = SweepFolder(tmp_path_factory.mktemp("done"))
    plan = planned(n_seeds=3)
    folder.write_plan(plan, "?")
    for trial in plan.trials:
        finish(folder, trial)
    return folder


@pytest.fixture
def folder(done, tmp_path):
    """A copy of it, to be harmed."""
    shutil.copytree(done.path, tmp_path / "sweep")
    return SweepFolder(tmp_path / "sweep")


TRIALS = planned(n_seeds=3).trials
FIRST = TRIALS[0]
ALONE = f"trials/{FIRST.trial_id}"


def found(folder: SweepFolder) -> list[tuple[str, str, str]]:
    """Severity, file and what of each finding."""
    return [(one.severity, one.file, one.what) for one in inspect(folder.path, lambda done, total: None).findings]


def rewrite(folder: SweepFolder, **changes) -> None:
    """Change the first trial's manifest, hashes and all."""
    path = folder.trial(FIRST.trial_id).path / "manifest.json"
    write_json(path, {**read_json(path), **changes})


def repredict(folder: SweepFolder, split: str, change: Callable[[Predictions], Predictions]) -> None:
    """Change the first trial's predictions, and seal them with their scores as if nothing had happened."""
    trial = folder.trial(FIRST.trial_id)
    changed = change(read_predictions(trial.predictions(split)))
    write_predictions(trial.predictions(split), changed)
    manifest = trial.manifest()
    scores = {**manifest["scores"], split: dict(overall_scores(changed.label, changed.probabilities))}
    trial.finish({**{key: v for key, v in manifest.items() if key != "files"}, "scores": scores})


def test_a_sweep_that_is_whole_is_sound(folder, capsys):
    assert verify.main([str(folder.path), "--strict"]) == 0
    assert capsys.readouterr().out == "Sound: 6 of 6 trials done and whole.\n"


@pytest.mark.parametrize("name", SEALED)
def test_a_sealed_file_that_is_altered_or_gone_is_damage(folder, name):
    path = folder.trial(FIRST.trial_id).path / name
    path.write_bytes(path.read_bytes() + b"0")
    assert found(folder) == [("damaged", ALONE, f"{FIRST.title}: {name} is not what the manifest sealed")]
    path.unlink()
    assert found(folder) == [("damaged", ALONE, f"{FIRST.title}: {name} is gone")]


def test_a_manifest_that_cannot_be_read_is_damage(folder):
    (folder.trial(FIRST.trial_id).path / "manifest.json").write_text('{"stat')
    ((severity, file, what),) = found(folder)
    assert (severity, file) == ("damaged", ALONE)
    assert "manifest.json cannot be read" in what


def test_a_trial_in_another_ones_folder_is_damage(folder):
    first, second = (folder.trial(trial.trial_id).path for trial in TRIALS[:2])
    shutil.rmtree(first)
    shutil.copytree(second, first)
    said = [what for severity, file, what in found(folder) if severity == "damaged" and file.startswith(ALONE)]
    assert f"{FIRST.title}: must have the trial_id {FIRST.trial_id!r}, got {TRIALS[1].trial_id!r}" in said
    by_file = [(file, key) for _, file, what in found(folder) for key in ("trial_id",) if f"have the {key}" in what]
    assert by_file == [(f"{ALONE}/{name}", "trial_id") for name in ("manifest.json", "val.parquet", "test.parquet")]


def test_a_done_trial_that_has_another_place_among_the_picks_now_is_whole(folder):
    """A search that picks anew may give the same levers another name, and what is done is not run again."""
    asked = read_json(folder.path / "sweep.json")
    trials = [
        {**trial, "arm": {"focal_gamma=1": "pick-2"}.get(trial["arm"], trial["arm"])} for trial in asked["trials"]
    ]
    assert trials != asked["trials"]
    write_json(folder.path / "sweep.json", {**asked, "trials": trials})
    assert found(folder) == []


def test_a_config_that_is_not_the_trials_is_damage(folder):
    config = FIRST.config.to_dict()
    config["training"]["epochs"] += 1
    rewrite(folder, config=config)
    severities = {severity: what for severity, _, what in found(folder)}
    assert severities.keys() == {"damaged", "unpaired"}
    assert "config, seed and fingerprints are those of trial " in severities["damaged"]
    assert "has other settings beside the levers than most of the 6 trials" in severities["unpaired"]


def test_a_manifest_of_a_version_with_fewer_fields_is_the_same_trials(folder):
    config = FIRST.config.to_dict()
    del config["training"]["gradient_checkpointing"], config["data"]["max_unreadable_eval"]
    rewrite(folder, config=config)
    assert found(folder) == []


def test_a_lever_that_the_config_has_not_is_damage(folder):
    rewrite(folder, levers={"focal_gamma": 5.0})
    assert ("damaged", f"{ALONE}/manifest.json") in [finding[:2] for finding in found(folder)]


@pytest.mark.parametrize("config", [None, {}, {"training": {"epochs": 2}}, {"data": {"colour": "red"}}])
def test_a_config_that_is_none_is_damage(folder, config):
    rewrite(folder, config=config)
    assert any("must have the config of a trial" in what for _, _, what in found(folder))


def test_scores_that_are_not_those_of_the_predictions_are_damage(folder):
    scores = folder.trial(FIRST.trial_id).manifest()["scores"]
    rewrite(folder, scores={**scores, "test": {**scores["test"], "top1": 0.9}})
    ((severity, file, what),) = found(folder)
    assert (severity, file) == ("damaged", f"{ALONE}/test.parquet")
    assert "1 of 6 scores are not those of the manifest: top1 is " in what


def test_a_prediction_file_of_another_seed_is_damage(folder):
    repredict(folder, "test", lambda predictions: replace(predictions, seed=9))
    assert found(folder) == [("damaged", f"{ALONE}/test.parquet", f"{FIRST.title}: must have the seed 0, got 9")]


def test_a_sealed_file_that_is_no_prediction_file_is_damage(folder):
    trial = folder.trial(FIRST.trial_id)
    trial.predictions("val").write_bytes(b"no parquet")
    trial.finish({key: v for key, v in trial.manifest().items() if key != "files"})
    ((severity, file, what),) = found(folder)
    assert (severity, file) == ("damaged", f"{ALONE}/val.parquet")
    assert "must be a readable Parquet file" in what


def test_costs_that_cannot_be_read_are_damage(folder):
    folder.trial(FIRST.trial_id).attempts_file.write_text("{")
    assert found(folder)[0][:2] == ("damaged", f"{ALONE}/attempts.json")


CHANGES = {
    "images": lambda p: replace(p, sample_id=np.char.add(p.sample_id, "x")),
    "groups": lambda p: replace(p, group_id=p.group_id[::-1].copy()),
    "labels": lambda p: replace(p, label=p.label[::-1].copy()),
    "classes": lambda p: replace(p, classes=("acne", "eczema", "warts")),
}


@pytest.mark.parametrize("split", N_IMAGES)
@pytest.mark.parametrize("what", CHANGES)
def test_a_trial_that_was_tested_on_something_else_is_unpaired(folder, split, what):
    repredict(folder, split, CHANGES[what])
    ((severity, file, said),) = found(folder)
    assert (severity, file) == ("unpaired", f"{ALONE}/{split}.parquet")
    other = "labels" if what == "classes" else what
    assert said == f"{FIRST.title}: has other {other} than most of the 6 trials"


def test_the_order_of_images_in_a_file_does_not_unpair_a_trial(folder):
    def reverse(p: Predictions) -> Predictions:
        order = slice(None, None, -1)
        rows = {name: getattr(p, name)[order].copy() for name in ("sample_id", "group_id", "label", "logits")}
        return replace(p, **rows)

    repredict(folder, "test", reverse)
    assert found(folder) == []


def test_arms_with_other_seeds_are_unpaired(folder):
    asked = read_json(folder.path / "sweep.json")
    write_json(folder.path / "sweep.json", {**asked, "trials": asked["trials"][:-1]})
    severities = [severity for severity, _, _ in found(folder)]
    assert severities == ["unpaired", "left over"]


def test_trials_of_two_commits_and_versions_are_told_and_the_folder_is_sound_all_the_same(folder, capsys):
    rewrite(folder, commit="b" * 40, versions={"torch": "2.12.0"}, threads=4)
    assert [what for _, _, what in found(folder)] == [
        "they differ in commit: aaaaaaaaaaaa (5 trials), bbbbbbbbbbbb (1 trial)",
        "they differ in threads: 1 (5 trials), 4 (1 trial)",
        "they differ in version of torch: 2.13.0 (5 trials), 2.12.0 (1 trial)",
    ]
    assert verify.main([str(folder.path)]) == 0
    assert verify.main([str(folder.path), "--strict"]) == 1
    assert "Sound: 6 of 6 trials done and whole; 3 mixed." in capsys.readouterr().out


def test_trials_of_other_numbers_of_processes_are_told_and_an_old_manifest_counts_as_one(folder):
    rewrite(folder, processes=1)
    assert found(folder) == []
    rewrite(folder, processes=4)
    assert [what for _, _, what in found(folder)] == ["they differ in processes: 1 (5 trials), 4 (1 trial)"]


def test_what_is_not_done_is_told_with_its_reason(folder):
    failed, cut_off, missing = TRIALS[:3]
    for trial in (failed, cut_off, missing):
        shutil.rmtree(folder.trial(trial.trial_id).path)
    folder.trial(failed.trial_id).fail("failed", "an image must have three channels", "")
    folder.trial(cut_off.trial_id).write_history([{"epoch": 1}])
    (folder.trial(cut_off.trial_id).checkpoint / "checkpoint-6").mkdir(parents=True)
    assert found(folder) == [
        (
            "unfinished",
            f"trials/{failed.trial_id}/failure.json",
            f"{failed.title}: failed: an image must have three channels",
        ),
        ("unfinished", f"trials/{cut_off.trial_id}", f"{cut_off.title}: was cut off, 1 epoch kept"),
        ("unfinished", "trials", f"1 trial not begun: {missing.title}"),
    ]


def test_a_sweep_that_runs_is_told(folder):
    with folder.lock():
        assert found(folder) == [("unfinished", "driver.lock", "a driver runs this sweep now")]


def test_what_nobody_needs_is_told(folder):
    shutil.copytree(folder.trial(FIRST.trial_id).path, folder.path / "damaged" / "abc-1")
    (folder.trial(FIRST.trial_id).path / ".manifest.json.host-1").write_text("half")
    (folder.path / "trials" / "other").mkdir()
    assert {(severity, file) for severity, file, _ in found(folder)} == {
        ("left over", "trials/other"),
        ("left over", f"{ALONE}/.manifest.json.host-1"),
        ("left over", "damaged/abc-1"),
    }


def test_a_point_that_a_search_stopped_early_is_named_as_one(folder):
    pruned = folder.trial("pruned")
    pruned.path.mkdir()
    pruned.prune(Pruned(epochs=2, scores={"top1": 0.5}))
    [(severity, file, what)] = found(folder)
    assert (severity, file) == ("left over", "trials/pruned")
    assert what.endswith("does not list: stopped early by a search")


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"format": 2, "trials": []}'])
def test_a_sweep_json_that_does_not_say_what_was_asked_is_damage_and_the_trials_are_examined(folder, text):
    path = folder.path / "sweep.json"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    (folder.trial(FIRST.trial_id).path / "val.parquet").unlink()
    assert [finding[:2] for finding in found(folder)] == [("damaged", "sweep.json"), ("damaged", ALONE)]


def test_nothing_is_changed(folder):
    (folder.trial(FIRST.trial_id).path / "val.parquet").unlink()
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    verify.main([str(folder.path)])
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before


def test_each_finding_is_a_line_that_names_the_file_and_what_to_do(folder, capsys):
    os.truncate(folder.trial(FIRST.trial_id).path / "test.parquet", 100)
    assert verify.main([str(folder.path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"damaged: {ALONE}: {FIRST.title}: test.parquet is not what the manifest sealed; "
        "the next start sets the trial aside and runs it again",
        "Not sound: 5 of 6 trials done and whole; 1 damaged.",
    ]


def test_the_json_has_what_the_lines_have(folder, tmp_path):
    os.truncate(folder.trial(FIRST.trial_id).path / "test.parquet", 100)
    verify.main([str(folder.path), "--json", str(tmp_path / "out" / "found.json")])
    written = json.loads((tmp_path / "out" / "found.json").read_text())
    assert (written["format"], written["sound"], written["n_trials"], written["n_done"]) == (1, False, 6, 5)
    assert written["counts"]["damaged"] == 1
    (finding,) = written["findings"]
    assert finding.keys() == {"severity", "file", "what", "do"}


@pytest.mark.parametrize("what", ["nothing", "empty", "file"])
def test_what_is_no_sweeps_folder_is_refused_in_a_line(tmp_path, capsys, what):
    path = tmp_path / "sweep"
    if what == "empty":
        path.mkdir()
    if what == "file":
        path.write_text("")
    assert verify.main([str(path)]) == 2
    said = capsys.readouterr().err
    assert said == f"dermtune-verify: {path} must be a sweep's folder, with sweep.json and trials/\n"


def test_it_needs_neither_torch_nor_ray_nor_mlflow():
    loaded = "import sys, dermtune.verify; print({'torch', 'ray', 'mlflow', 'transformers'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
