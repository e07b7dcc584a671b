"""The whole line from a sweep file to the report, on a tiny recipe of the user's own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from analysis.predictions import read_predictions
from dermtune import course, sweep
from dermtune import task as tasks
from dermtune.arguments import parse
from dermtune.config import DataConfig
from dermtune.data.decoding import decode
from dermtune.serving import load_classifier
from dermtune.task import prepare
from dermtune.timing import TimingError, asking
from dermtune.timing.machine import Machine
from tests.tiny_sweep import QUESTION, RECIPE

ROOT = Path(__file__).parents[1]

DIVERGING = QUESTION.replace('"focal_gamma": (0.0, 2.0)', '"learning_rate": (1e-3, 1e30)').replace(
    '"focal_gamma": 0.0', '"learning_rate": 1e-3'
)


NO_ATTENTION = QUESTION.replace('"focal_gamma": (0.0, 2.0)', '"tuning": ("full", "lora")').replace(
    '"focal_gamma": 0.0', '"tuning": "full"'
)
"""Asks for what the recipe's small ResNet does not have."""


@pytest.fixture(scope="module")
def shared_data(tmp_path_factory):
    """Drawn once, so that each test pays for its training alone."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def here(tmp_path, monkeypatch, shared_data):
    """An empty working directory with a question and a recipe in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERMTUNE_CACHE", str(shared_data / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "120")
    Path("recipe.py").write_text(RECIPE)
    Path("question.py").write_text(QUESTION)
    return tmp_path


@pytest.fixture
def arguments(here, shared_data):
    return ["question.py", "--recipe", "recipe.py", "--data", str(shared_data / "data"), "--tracking-uri", store()]


def store():
    """Absolute: MLflow keeps one connection a URI, so a relative one means the first working directory for good."""
    return f"sqlite:///{Path('mlflow.db').absolute()}"


def manifests():
    return {path.parent.name: json.loads(path.read_text()) for path in Path().glob("runs/*/trials/*/manifest.json")}


def runs_of(status):
    client = mlflow.MlflowClient(tracking_uri=store())
    experiments = [e.experiment_id for e in client.search_experiments()]
    return [run for run in client.search_runs(experiments) if run.info.status == status]


def test_a_sweep_runs_once_then_says_that_nothing_is_to_run_then_takes_further_seeds(arguments, capsys):
    assert sweep.main(arguments) == 0
    first = manifests()
    assert {(m["arm"], m["seed"]) for m in first.values()} == {
        (a, s) for a in ("baseline", "focal_gamma=2") for s in (0, 1)
    }
    assert {path.name for path in Path("runs/tiny-tiny/report").iterdir()} >= {
        "report.html",
        "report.md",
        "report.json",
    }
    said = capsys.readouterr().out
    assert "[4/4]" in said
    assert "runs/tiny-tiny/report/report.html" in said
    assert f"mlflow ui --backend-store-uri {store()}" in said
    assert len(runs_of("FINISHED")) == 5

    assert sweep.main(arguments) == 0
    assert "Nothing to run: 4 of 4 trials done." in capsys.readouterr().out
    assert manifests() == first
    assert len(runs_of("FINISHED")) == 5

    assert sweep.main([*arguments, "--seeds", "3"]) == 0
    third = manifests()
    assert {trial_id: third[trial_id] for trial_id in first} == first
    assert sorted(m["seed"] for m in third.values()) == [0, 0, 1, 1, 2, 2]
    report = json.loads(Path("runs/tiny-tiny/report/report.json").read_text())
    assert [arm["n_seeds"] for arm in report["arms"]] == [3, 3]
    assert len(runs_of("FINISHED")) == 7


def test_with_log_model_the_best_trials_weights_are_in_mlflow_and_stay_and_the_others_go(arguments, capsys):
    assert sweep.main([*arguments, "--log-model"]) == 0
    said = capsys.readouterr().out
    assert sweep.main(arguments) == 0
    assert "Nothing to run" in capsys.readouterr().out  # keeping weights is no part of a trial's identity
    (kept,) = Path().glob("runs/tiny-tiny/trials/*/model")
    best = manifests()[kept.parent.name]
    assert f"model   {best['arm']} · seed {best['seed']}: " in said
    same_arm = [m["scores"]["val"]["balanced_accuracy"] for m in manifests().values() if m["arm"] == best["arm"]]
    assert best["scores"]["val"]["balanced_accuracy"] == max(same_arm)
    assert all(set(m["model"]) >= {"model.safetensors"} for m in manifests().values())

    client = mlflow.MlflowClient(tracking_uri=store())
    (logged,) = client.search_logged_models([client.get_experiment_by_name("tiny").experiment_id])
    stored = Path(unquote(urlsplit(logged.artifact_location).path)) / "data"
    classifier = load_classifier(stored)
    predictions = read_predictions(kept.parent / "test.parquet")
    data = Path(arguments[arguments.index("--data") + 1])
    config = DataConfig(image_size=16)
    images = np.stack([decode(data / "images" / f"{name}.png", config) for name in predictions.sample_id])
    np.testing.assert_allclose(classifier.logits(images), predictions.logits, rtol=1e-4, atol=1e-5)


def test_a_dry_run_starts_nothing_and_says_what_the_design_costs_and_sees(arguments, capsys):
    before = {path.name for path in Path().iterdir()}
    assert sweep.main([*arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^in all +0 +4 +\S+ *$", said, re.MULTILINE)
    assert "✗ This design cannot see its own margin" in said
    assert re.search(r"timed over \d+\s+steps here, on cpu", said)
    assert {path.name for path in Path().iterdir()} <= before


def test_a_second_dry_run_says_the_same_without_timing_anything(arguments, capsys, monkeypatch):
    assert sweep.main([*arguments, "--dry-run"]) == 0
    first = capsys.readouterr().out
    monkeypatch.setattr(asking.subprocess, "Popen", None)
    assert sweep.main([*arguments, "--dry-run"]) == 0
    second = capsys.readouterr().out
    assert "timing steps" not in second
    assert first.endswith(second)


def test_a_start_that_follows_knows_what_its_trials_take_before_the_first_is_admitted(arguments):
    assert sweep.main([*arguments, "--dry-run"]) == 0
    asked = parse([*arguments, "--max-hours", "1"])
    foreseen = prepare(asked, Console(quiet=True))
    assert foreseen.recipe.seconds_per_trial is None
    assert foreseen.budget({}).trial_hours.expected == pytest.approx(
        foreseen.pace({}).mean(foreseen.plan.trials) / 3600
    )


@pytest.mark.parametrize("elsewhere", [["--gpus-per-trial", "1"], ["--address", "10.0.0.1:6379"]])
def test_where_no_trial_trains_here_nothing_is_timed_here_and_models_are_checked_all_the_same(
    arguments, elsewhere, capsys, monkeypatch
):
    monkeypatch.setattr(tasks, "this_machine", lambda: Machine(processor="any", cores=2))
    monkeypatch.setattr(course, "time_kinds", None)
    assert sweep.main([*arguments, *elsewhere, "--dry-run"]) == 0
    assert re.search(r"^time +unknown until a first trial is done", capsys.readouterr().out, re.MULTILINE)
    Path("question.py").write_text(NO_ATTENTION)
    assert sweep.main([*arguments, *elsewhere, "--dry-run"]) == 2
    assert "in arm 'tuning=lora'" in capsys.readouterr().err


def test_a_dry_run_refuses_the_model_that_a_start_would_refuse(arguments, capsys):
    Path("question.py").write_text(NO_ATTENTION)
    refused = []
    for more in ([], ["--dry-run"]):
        assert sweep.main([*arguments, *more]) == 2
        refused.append(capsys.readouterr().err)
    assert refused[0] == refused[1]
    assert "in arm 'tuning=lora'" in refused[0]


def test_a_dry_run_whose_timing_fails_says_so_and_goes_on_without(arguments, capsys, monkeypatch, tmp_path):
    def fails(*_):
        raise TimingError("training loss is nan")

    monkeypatch.setenv("DERMTUNE_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(course, "time_kinds", fails)
    assert sweep.main([*arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "What a trial takes could not be timed: training loss is nan" in said
    assert re.search(r"^time +unknown until a first trial is done", said, re.MULTILINE)


@pytest.mark.parametrize("arguments_after", [["--dry-run"], ["--seeds", "1", "--dry-run"]])
def test_what_starts_nothing_loads_no_ray_no_torch_and_no_mlflow(arguments, arguments_after):
    code = (
        "import sys; from dermtune.sweep import main; assert main(sys.argv[1:]) == 0; "
        "print([m for m in ('ray', 'torch', 'transformers', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, *arguments_after], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_trial_that_diverges_is_told_by_name_and_the_others_are_judged(arguments, capsys):
    Path("question.py").write_text(DIVERGING)
    assert sweep.main(arguments) == 1
    said = capsys.readouterr().out
    assert "learning_rate=1e+30 · seed 0 failed" in said
    assert "2 failed: 2 of 4 trials done; the same command tries them again." in said
    assert {m["arm"] for m in manifests().values()} == {"baseline"}
    assert len(runs_of("FAILED")) == 2


def test_where_every_trial_fails_there_is_no_report_and_the_reasons_are_told(arguments, capsys):
    both = DIVERGING.replace("(1e-3, 1e30)", "(1e29, 1e30)").replace(
        '"learning_rate": 1e-3', '"learning_rate": 1e29'
    )
    Path("question.py").write_text(both)
    assert sweep.main([*arguments, "--seeds", "1"]) == 1
    said = capsys.readouterr()
    assert "baseline · seed 0 failed: training loss is nan" in said.out
    assert "\ndermtune-sweep: there is no report: " in f"\n{said.err}"
    assert not Path("runs/tiny-tiny/report").exists()


def test_a_model_for_images_of_another_size_is_refused_before_anything_is_written(arguments, capsys):
    siglip = 'architecture="siglip", settings={"vision_config": {"image_size": 32, "patch_size": 8}}'
    head, _, tail = RECIPE.partition('architecture="resnet"')
    Path("recipe.py").write_text(f"{head}{siglip}{tail[tail.index('),') :]}")
    assert sweep.main(arguments) == 2
    assert capsys.readouterr().err == ("dermtune-sweep: `image_size` of the data must be the model's, 32, got 16\n")
    assert not Path("runs/tiny-tiny/sweep.json").exists()
    assert not Path("mlflow.db").exists()


def test_a_budget_ends_the_sweep_between_trials(arguments, here, monkeypatch, capsys):
    monkeypatch.setenv("DERMTUNE_CACHE", str(here / "cache"))  # without a step time that another test took
    assert sweep.main([*arguments, "--max-usd", "0.0000001", "--usd-per-hour", "2"]) == 1
    assert "The budget is spent" in capsys.readouterr().out
    n_cores = os.cpu_count() or 1
    assert 1 <= len(manifests()) <= n_cores + 1  # nothing is known before the first trials: one a core, one waits


def started(arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "dermtune.sweep", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(found, seconds=300):
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def logits():
    """Test logits by arm and seed."""
    return {
        (m["arm"], m["seed"]): pq.read_table(f"runs/tiny-tiny/trials/{trial_id}/test.parquet").to_pylist()
        for trial_id, m in manifests().items()
    }


def test_a_killed_sweep_goes_on_and_ends_with_the_same_predictions_as_an_undisturbed_one(arguments, tmp_path):
    driver = started(arguments)
    wait_for(lambda: list(Path().glob("runs/*/trials/*/history.csv")))
    driver.kill()
    driver.communicate()
    done_before = manifests()
    assert sweep.main(arguments) == 0
    assert len(manifests()) == 4
    assert {trial_id: manifests()[trial_id] for trial_id in done_before} == done_before
    assert not runs_of("RUNNING")
    assert len(runs_of("FINISHED")) == 5
    resumed = logits()
    Path("runs").rename("resumed")
    assert sweep.main(arguments) == 0
    assert logits() == resumed


@pytest.mark.usefixtures("no_signal_ignored")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_stops_in_order_with_its_own_code_and_says_how_to_go_on(arguments, number, code):
    driver = started(arguments)
    wait_for(lambda: list(Path().glob("runs/*/trials/*/history.csv")))
    driver.send_signal(number)
    said, _ = driver.communicate(timeout=300)
    assert driver.returncode == code, said
    assert f"Stopped by {number.name}" in said
    assert "the same command goes on from here" in said
    assert not runs_of("RUNNING")


def test_a_second_driver_is_refused_by_the_first_ones_name(arguments):
    first = started(arguments)
    wait_for(lambda: list(Path().glob("runs/*/driver.lock")) and Path("runs/tiny-tiny/driver.lock").read_text())
    second = subprocess.run([sys.executable, "-m", "dermtune.sweep", *arguments], capture_output=True, text=True)
    first.kill()
    first.communicate()
    assert second.returncode == 2
    assert f"process {first.pid}" in second.stderr
    assert second.stderr.count("\n") == 1
