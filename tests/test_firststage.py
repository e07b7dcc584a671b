"""Both stages of a sweep through the real door: a screening, stopped after its selection and gone on with."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import balanced_accuracy_score

from analysis.predictions import read_predictions
from dermtune import arguments, export, firststage, verify
from dermtune.config import UserError
from dermtune.ending import Ending
from dermtune.firstfile import read_asked, write_first
from dermtune.firstplan import question_of
from dermtune.ledger import SweepFolder
from dermtune.loading import load_recipe
from dermtune.picking import pick
from dermtune.screening import screened
from dermtune.selection import Selection
from dermtune.signals import Signals
from dermtune.task import prepare
from tests.searching import Searching
from tests.staged_sweep import LEARNING, SCREENING
from tests.test_staging import SEARCHED, staging
from tests.test_staging import picked as picked_by
from tests.tiny_sweep import TinySweep, wait_until


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """The sweep after each of its two commands: what they said, and what lay there after the first."""
    here, shared = tmp_path_factory.mktemp("staged"), tmp_path_factory.mktemp("shared")
    tiny = TinySweep.written(here, shared, question=SCREENING, recipe=LEARNING)
    first = tiny.run("--stop-after-selection", "--usd-per-hour", "2")
    stopped = shutil.copytree(tiny.folder, here / "stopped")
    store = shutil.copy(here / "mlflow.db", here / "stopped.db")
    second = tiny.run("--usd-per-hour", "2", "--log-model")
    return SimpleNamespace(tiny=tiny, first=first, second=second, stopped=stopped, store=store)


def selection(folder):
    return Selection.read(folder / "selection.json")


def manifests(folder):
    return {path.parent.name: path.read_bytes() for path in folder.glob("trials/*/manifest.json")}


def first_stage(folder):
    return {trial_id for tried in selection(folder).tried for trial_id in tried.trial_ids}


def task_of(tiny, *more, monkeypatch):
    monkeypatch.chdir(tiny.here)
    monkeypatch.setenv("DERMTUNE_CACHE", str(tiny.shared / "cache"))
    return prepare(arguments.parse([*tiny.command(*more)[3:]]), Console(quiet=True))


def test_it_stops_after_the_selection_with_code_0_and_says_how_to_go_on(staged):
    assert staged.first.returncode == 0, staged.first.stdout
    assert staged.first.stdout.splitlines()[-1] == (
        "Stopped after the selection: runs/tiny-tiny/selection.json; "
        "the same command without --stop-after-selection goes on."
    )
    assert not (staged.stopped / "sweep.json").exists()
    assert set(manifests(staged.stopped)) == first_stage(staged.stopped)
    assert len(manifests(staged.stopped)) == 6 * 2


def test_every_arm_was_screened_with_a_frozen_backbone_and_scored_on_val_as_sklearn_scores_it(staged):
    for tried in selection(staged.stopped).tried:
        scores = []
        for trial_id in tried.trial_ids:
            folder = staged.stopped / "trials" / trial_id
            assert json.loads((folder / "manifest.json").read_text())["config"]["levers"]["tuning"] == "head"
            val = read_predictions(folder / "val.parquet")
            scores.append(balanced_accuracy_score(val.label, val.logits.argmax(1)))
        assert tried.scores["balanced_accuracy"] == pytest.approx(np.mean(scores))


def test_the_best_two_on_val_are_picked_and_said(staged):
    chosen = selection(staged.stopped)
    others = [one for one in chosen.tried if one.number]
    by_score = sorted(others, key=lambda one: -one.scores["balanced_accuracy"])
    assert [picked.number for picked in chosen.picks] == [one.number for one in by_score[:2]]
    for picked in chosen.picks:
        assert f"picked {picked.arm}, balanced accuracy " in staged.first.stdout


def test_picks_are_made_on_val_whatever_test_says(staged, tmp_path, monkeypatch):
    stages = task_of(staged.tiny, monkeypatch=monkeypatch).first
    folder = shutil.copytree(staged.stopped, tmp_path / "altered")
    for path in folder.glob("trials/*/manifest.json"):
        manifest = json.loads(path.read_text())
        manifest["scores"]["test"] = {metric: 1 - score for metric, score in manifest["scores"]["test"].items()}
        path.write_text(json.dumps(manifest))
    assert pick(stages.sweep, screened(stages.plan, SweepFolder(folder))) == selection(staged.stopped).picks
    for path in folder.glob("trials/*/manifest.json"):
        manifest = json.loads(path.read_text())
        manifest["scores"]["val"]["balanced_accuracy"] *= -1
        path.write_text(json.dumps(manifest))
    worst = pick(stages.sweep, screened(stages.plan, SweepFolder(folder)))
    assert worst != selection(staged.stopped).picks


def test_the_second_stage_trains_the_survivors_in_full_with_fresh_seeds_and_judges_them_alone(staged):
    assert staged.second.returncode == 0, staged.second.stdout
    folder = staged.tiny.folder
    assert {trial_id: manifests(folder)[trial_id] for trial_id in manifests(staged.stopped)} == manifests(
        staged.stopped
    )
    asked = json.loads((folder / "sweep.json").read_text())
    picks = {picked.arm for picked in selection(folder).picks}
    assert {arm["arm"] for arm in asked["arms"]} == {"baseline", *picks}
    assert asked["seeds"] == [0, 1]
    listed = {trial["trial_id"] for trial in asked["trials"]}
    assert listed | first_stage(folder) == set(manifests(folder))
    assert not listed & first_stage(folder)
    tunings = {json.loads(manifests(folder)[i])["config"]["levers"]["tuning"] for i in listed}
    assert tunings == {"full"}
    report = json.loads((folder / "report" / "report.json").read_text())
    assert {arm["arm"] for arm in report["arms"]} == {"baseline", *picks}


def test_the_model_that_is_logged_is_one_of_the_second_stage(staged):
    (kept,) = staged.tiny.folder.glob("trials/*/model")
    manifest = json.loads(manifests(staged.tiny.folder)[kept.parent.name])
    assert f"model   {manifest['arm']} · seed {manifest['seed']}: " in staged.second.stdout
    assert kept.parent.name not in first_stage(staged.tiny.folder)


def test_once_more_nothing_is_run_and_the_picks_stay(staged):
    before = manifests(staged.tiny.folder), (staged.tiny.folder / "selection.json").read_bytes()
    again = staged.tiny.run()
    assert again.returncode == 0, again.stdout
    assert "Nothing to run: 6 of 6 trials done." in again.stdout
    assert (manifests(staged.tiny.folder), (staged.tiny.folder / "selection.json").read_bytes()) == before


def test_mlflow_has_each_stage_below_a_run_of_its_own_with_the_selection_on_the_first(staged):
    before = staged.tiny.mlflow_runs(f"sqlite:///{staged.store}")
    assert {run.info.run_name for run in before if "mlflow.parentRunId" not in run.data.tags} == {
        "tiny · screening"
    }
    runs = staged.tiny.mlflow_runs()
    parents = {run.info.run_name: run for run in runs if "mlflow.parentRunId" not in run.data.tags}
    assert set(parents) == {"tiny · screening", "tiny · tiny"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    below = {
        name: [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        for name, parent in parents.items()
    }
    assert {name: len(children) for name, children in below.items()} == {"tiny · screening": 12, "tiny · tiny": 6}
    screening = parents["tiny · screening"]
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{staged.tiny.here / 'mlflow.db'}")
    assert "report/selection.json" in [f.path for f in client.list_artifacts(screening.info.run_id, "report")]
    assert screening.data.metrics["tried/done"] == 6
    picks = {picked.arm for picked in selection(staged.tiny.folder).picks}
    assert {r.data.tags["picked"] for r in below["tiny · screening"] if "picked" in r.data.tags} == picks


@pytest.mark.parametrize("which", ["stopped", "whole"])
def test_verify_finds_both_stages_sound(staged, which, capsys):
    folder = staged.stopped if which == "stopped" else staged.tiny.folder
    assert verify.main([str(folder)]) == 0
    said = capsys.readouterr().out
    if which == "stopped":
        assert "unfinished: sweep.json: is not there: the first stage has picked, and nothing is judged yet" in said
        assert "12 of 12 trials done and whole" in said
    else:
        assert said == "Sound: 18 of 18 trials done and whole.\n"


def test_verify_tells_a_damaged_trial_of_the_first_stage_and_that_the_picks_stay(staged, tmp_path, capsys):
    folder = shutil.copytree(staged.tiny.folder, tmp_path / "runs")
    trial_id = selection(folder).tried[1].trial_ids[0]
    (folder / "trials" / trial_id / "val.parquet").write_bytes(b"")
    assert verify.main([str(folder)]) == 1
    said = capsys.readouterr().out
    assert f"damaged: trials/{trial_id}: " in said
    assert "what was picked stays" in said


@pytest.mark.parametrize("which", ["stopped", "whole"])
def test_export_sends_both_stages_to_another_server(staged, which, tmp_path, capsys):
    folder = staged.stopped if which == "stopped" else staged.tiny.folder
    uri = f"sqlite:///{tmp_path / 'other.db'}"
    assert export.main([str(folder), "--tracking-uri", uri]) == 0
    assert f"{'12 of 12' if which == 'stopped' else '18 of 18'} trials done" in capsys.readouterr().out
    runs = staged.tiny.mlflow_runs(uri)
    assert len(runs) == (13 if which == "stopped" else 20)
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_the_arm_to_ship_becomes_a_recipe_with_its_levers(staged, tmp_path):
    out = tmp_path / "ship.py"
    done = subprocess.run(
        [sys.executable, "-m", "analysis.significance", str(staged.tiny.folder), "--quick", "--write-recipe", out],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((staged.tiny.folder / "report" / "report.json").read_text())
    ship = report["recommendation"]["ship"]
    asked = json.loads((staged.tiny.folder / "sweep.json").read_text())
    levers = next(arm["levers"] for arm in asked["arms"] if arm["arm"] == ship)
    config = load_recipe(str(out)).config
    assert {lever: getattr(config.levers, lever) for lever in levers} == levers


def test_one_budget_is_kept_over_both_stages(staged, monkeypatch):
    task = task_of(staged.tiny, "--max-hours", "1", "--usd-per-hour", "2", monkeypatch=monkeypatch)
    attempts = [json.loads(p.read_text()) for p in staged.tiny.folder.glob("trials/*/attempts.json")]
    seconds = sum(attempt["seconds"] for of_trial in attempts for attempt in of_trial["attempts"])
    assert len(attempts) == 18
    assert task.budget({}).spent().hours == pytest.approx(seconds / 3600)
    assert task.budget({}).hours_left() == pytest.approx(1 - seconds / 3600)


def test_a_dry_run_shows_both_stages_and_starts_nothing(tmp_path, staged):
    tiny = TinySweep.written(tmp_path, staged.tiny.shared, question=SCREENING, recipe=LEARNING)
    said = tiny.run("--dry-run").stdout
    assert "screening: 6 arms on the frozen backbone, seeds 1000, 1001; the best 2 on val are confirmed" in said
    rows = {line.split("  ")[0]: line.split() for line in said.splitlines()}
    assert rows["screening, at most"][3:5] == ["0", "12"]
    assert [rows[arm][1:3] for arm in ("baseline", "pick-1", "pick-2")] == [["0", "2"]] * 3
    assert not tiny.folder.exists()


def test_a_budget_that_ends_in_the_first_stage_picks_nothing(tmp_path, staged):
    tiny = TinySweep.written(tmp_path, staged.tiny.shared, question=SCREENING, recipe=LEARNING)
    ended = tiny.run("--max-hours", "0.0000001")
    assert ended.returncode == 1
    assert "The budget is spent: " in ended.stdout
    assert not (tiny.folder / "selection.json").exists()
    assert not (tiny.folder / "sweep.json").exists()


def test_stopping_after_a_selection_that_there_is_none_of_is_refused(tmp_path, staged, capsys, monkeypatch):
    plain = SCREENING.replace("first=Screen(confirm=2, seeds=(1000, 1001)),", "")
    tiny = TinySweep.written(tmp_path, staged.tiny.shared, question=plain, recipe=LEARNING)
    with pytest.raises(
        UserError, match=r"--stop-after-selection needs a sweep with a `first` stage, this one has none"
    ):
        task_of(tiny, "--stop-after-selection", monkeypatch=monkeypatch)


def test_a_selection_of_another_question_is_told_and_not_taken(tmp_path, staged, capsys, monkeypatch):
    tiny = TinySweep.written(
        tmp_path, staged.tiny.shared, question=SCREENING.replace("confirm=2", "confirm=1"), recipe=LEARNING
    )
    shutil.copytree(staged.stopped, tiny.folder)
    done = tiny.run("--stop-after-selection")
    assert done.returncode == 0, done.stdout
    assert "selection.json was picked for another question or other numbers: the screening goes on" in done.stdout
    assert manifests(tiny.folder) == manifests(staged.stopped)
    assert selection(tiny.folder).picks == selection(staged.stopped).picks[:1]


def test_a_sweep_that_comes_back_to_a_question_that_has_picked_asks_that_one_again(tmp_path):
    folder, first = SweepFolder(tmp_path), staging(SEARCHED).planned().first.plan
    picked_by(SEARCHED).write(folder.selection)
    write_first(folder, first, {"another": "question"}, "Begun, and killed?")
    task = SimpleNamespace(
        folder=folder, question="Why?", staging=staging(SEARCHED), first=staging(SEARCHED).found(folder).first
    )
    assert firststage.run(task, Signals(), Console(quiet=True)).picked
    there = read_asked(folder)
    assert (there["asked"], there["question"]) == (question_of(SEARCHED, first), "Why?")


def test_points_that_failed_are_told_and_the_code_is_0_once_arms_are_picked(tmp_path, monkeypatch, capsys):
    of = staging(SEARCHED)
    search = Searching(tmp_path, of.points(), scores=lambda of: {"balanced_accuracy": of["focal_gamma"] / 5})
    journal = search.journal()
    *done, failed = (journal.propose() for _ in range(4))
    for trial in (*done, failed):
        (search.fail if trial is failed else search.finish)(trial)
        journal.settle(trial)
    exporter = SimpleNamespace(start=lambda: None, attach=lambda files: None, close=lambda interrupted: True)
    monkeypatch.setattr(firststage, "exporter_of", lambda task, first: exporter)
    monkeypatch.setattr(firststage, "_train", lambda *of: Ending(finished=3, failed=1))
    task = SimpleNamespace(
        folder=search.folder,
        question="Why?",
        staging=of,
        first=of.found(search.folder).first,
        with_first=lambda stages: SimpleNamespace(first=stages.first),
    )
    found = firststage.run(task, Signals(), Console())
    assert found.picked
    assert found.ending.exit_code == 0
    assert "✗ point-3 failed and is passed over: out of memory" in capsys.readouterr().out


@pytest.mark.usefixtures("no_signal_ignored")
def test_a_signal_in_the_first_stage_stops_in_order_and_nothing_is_picked(tmp_path, staged):
    tiny = TinySweep.written(tmp_path, staged.tiny.shared, question=SCREENING, recipe=LEARNING)
    driver = tiny.start()
    wait_until(lambda: list(tiny.folder.glob("trials/*/history.csv")), "the first epoch")
    driver.send_signal(signal.SIGTERM)
    said, _ = driver.communicate(timeout=300)
    assert driver.returncode == 143, said
    assert "Stopped by SIGTERM: " in said
    assert "the same command goes on from here" in said
    assert not (tiny.folder / "selection.json").exists()
    assert {run.info.status for run in tiny.mlflow_runs()} <= {"FINISHED", "KILLED"}
