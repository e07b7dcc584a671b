"""MLflow shows what the sweep's folder holds: once, completely, and never in the way of training."""

import io
import json
import logging
import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageClassification

from dermtune.config import Config, DataConfig, ModelConfig, TrainingConfig
from dermtune.ledger import SweepFolder
from dermtune.model import build_model
from dermtune.plan import Plan, Sweep, plan
from dermtune.serving import save_classifier
from dermtune.tracking import Chosen, Exporter, exporter, views

QUESTION = "Does focal loss lift the long tail?"
# MLflow's own tables use what SQLAlchemy 2.1 deprecates; nothing here can change that.

N_CURVES = 4  # the columns of `history` but for epoch


def planned(n_seeds=2, epochs=3) -> Plan:
    grid = {"focal_gamma": (0.0, 2.0)}
    config = Config(
        data=DataConfig(), model=ModelConfig(architecture="siglip"), training=TrainingConfig(epochs=epochs)
    )
    sweep = Sweep(name="focal", grid=grid, baseline={"focal_gamma": 0.0}, seeds=range(n_seeds))
    return plan(sweep, config, recipe="laptop", fingerprints={"data": "ab" * 32})


def history(n_epochs):
    return [
        {"epoch": e, "train_loss": 2 / e, "val_top1": 0.1 * e, "seconds": 3.0, "images_per_second": 900.0 + e}
        for e in range(1, n_epochs + 1)
    ]


def finish(folder, trial, n_epochs=3):
    """Leave what a finished trial leaves."""
    files = folder.trial(trial.trial_id)
    files.write_history(history(n_epochs))
    for split in ("val", "test"):
        files.predictions(split).write_bytes(b"predictions")
    scores = {"val": {"top1": 0.3, "nll": 0.9}, "test": {"top1": 0.7 + 0.01 * trial.seed, "nll": 0.8}}
    finished = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).isoformat()
    about = {"commit": "c0ffee", "device": "cpu", "seconds": 12.0, "finished": finished}
    files.finish({"trial_id": trial.trial_id, "scores": scores, **about})


@pytest.fixture
def sweep(tmp_path):
    the_plan = planned()
    return the_plan, SweepFolder(tmp_path / the_plan.folder_name)


@pytest.fixture
def uri(tmp_path):
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def runs(uri, plan_):
    """All runs of the sweep's experiment: the parent, and the children by arm and seed."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(plan_.sweep.name)
    found = list(client.search_runs([experiment.experiment_id]))
    parents = [run for run in found if views.SWEEP_TAG in run.data.tags]
    children = [run for run in found if views.TRIAL_TAG in run.data.tags]
    by_trial = {(run.data.tags["arm"], int(run.data.tags["seed"])): run for run in children}
    assert (len(parents), len(by_trial), len(found)) == (1, len(children), 1 + len(children))
    assert {run.data.tags["mlflow.parentRunId"] for run in children} <= {parents[0].info.run_id}
    return parents[0], by_trial


def counted_rows(uri):
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        tables = ("runs", "metrics", "params", "tags", "inputs")
        counts = {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
    database.close()
    return counts


def test_a_finished_sweep_is_one_parent_and_one_finished_run_a_trial(sweep, uri):
    the_plan, folder = sweep
    for trial in the_plan.trials:
        finish(folder, trial)
    Exporter(uri, the_plan, folder, QUESTION).close(interrupted=False)

    parent, children = runs(uri, the_plan)
    assert parent.info.status == "FINISHED"
    assert QUESTION in parent.data.tags[views.NOTE_TAG]
    assert set(children) == {(trial.arm, trial.seed) for trial in the_plan.trials}
    run = children["focal_gamma=2", 1]
    assert (run.info.status, run.info.run_name) == ("FINISHED", "focal_gamma=2 · seed 1")
    assert run.data.params["focal_gamma"] == "2.0"
    assert run.data.params["training.epochs"] == "3"
    assert run.data.metrics["test/top1"] == pytest.approx(0.71)
    assert run.data.tags["commit"] == "c0ffee"
    assert run.inputs.dataset_inputs[0].dataset.digest == ("ab" * 32)[:16]


def test_an_exported_run_carries_the_times_of_the_training_not_of_the_export(sweep, uri):
    the_plan, folder = sweep
    finish(folder, the_plan.trials[0])
    Exporter(uri, the_plan, folder, QUESTION).close(interrupted=False)
    _, children = runs(uri, the_plan)
    info = children["baseline", 0].info
    ended = datetime.fromtimestamp(info.end_time / 1000, UTC)
    assert info.end_time - info.start_time == pytest.approx(12_000, abs=1)
    assert abs((ended - datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)).total_seconds()) < 1


def test_a_second_look_and_a_second_exporter_write_nothing(sweep, uri):
    the_plan, folder = sweep
    for trial in the_plan.trials[:3]:
        finish(folder, trial)
    folder.trial(the_plan.trials[3].trial_id).write_history(history(2))
    first = Exporter(uri, the_plan, folder, QUESTION)
    first.sync()
    before = counted_rows(uri)
    first.sync()
    Exporter(uri, the_plan, folder, QUESTION).sync()
    assert counted_rows(uri) == before
    assert before["metrics"] == 3 * (3 * N_CURVES + 3) + 2 * N_CURVES  # val/top1 is a curve already
    assert before["runs"] == 5


def test_a_trial_that_no_one_trains_any_more_is_not_left_running(sweep, uri):
    the_plan, folder = sweep
    running, failed, pending, _ = the_plan.trials
    killed_driver = Exporter(uri, the_plan, folder, QUESTION)
    killed_driver.started(running)
    folder.trial(running.trial_id).write_history(history(1))
    killed_driver.sync()
    assert runs(uri, the_plan)[1]["baseline", 0].info.status == "RUNNING"

    folder.trial(failed.trial_id).fail("diverged", "train_loss is NaN in epoch 2", "traceback")
    Exporter(uri, the_plan, folder, QUESTION).close(interrupted=True)
    parent, children = runs(uri, the_plan)
    assert parent.info.status == "KILLED"
    assert {key: run.info.status for key, run in children.items()} == {
        (running.arm, running.seed): "KILLED",
        (failed.arm, failed.seed): "FAILED",
    }
    assert (pending.arm, pending.seed) not in children
    assert "train_loss is NaN in epoch 2" in children[failed.arm, failed.seed].data.tags[views.NOTE_TAG]


def test_a_trial_that_goes_on_takes_up_its_run_and_repeats_no_epoch(sweep, uri):
    the_plan, folder = sweep
    trial = the_plan.trials[0]
    first = Exporter(uri, the_plan, folder, QUESTION)
    first.started(trial)
    folder.trial(trial.trial_id).write_history(history(2))
    first.close(interrupted=True)

    second = Exporter(uri, the_plan, folder, QUESTION)
    second.started(trial)
    second.sync()
    assert runs(uri, the_plan)[1][trial.arm, trial.seed].info.status == "RUNNING"
    finish(folder, trial)
    second.finished(trial, {})
    second.close(interrupted=False)
    assert counted_rows(uri)["metrics"] == 3 * N_CURVES + 3
    assert runs(uri, the_plan)[1][trial.arm, trial.seed].info.status == "FINISHED"


def test_a_failure_that_was_mended_leaves_no_note(sweep, uri):
    the_plan, folder = sweep
    trial = the_plan.trials[0]
    folder.trial(trial.trial_id).fail("failed", "out of memory", "traceback")
    watching = Exporter(uri, the_plan, folder, QUESTION)
    watching.sync()
    finish(folder, trial)
    watching.finished(trial, {})
    watching.sync()
    run = runs(uri, the_plan)[1][trial.arm, trial.seed]
    assert run.info.status == "FINISHED"
    assert run.data.tags[views.NOTE_TAG] == ""


def test_more_seeds_join_the_same_parent_and_another_configuration_gets_its_own(sweep, uri, tmp_path):
    the_plan, folder = sweep
    Exporter(uri, the_plan, folder, QUESTION).close(interrupted=False)
    extended = planned(n_seeds=3)
    Exporter(uri, extended, folder, QUESTION).close(interrupted=False)
    assert runs(uri, extended)[0].data.tags["seeds"] == "3"
    assert views.sweep_id(planned(epochs=4)) != views.sweep_id(the_plan)


def test_a_damaged_history_delays_no_other_trial(sweep, uri, caplog):
    the_plan, folder = sweep
    damaged, *others = the_plan.trials
    for trial in the_plan.trials:
        finish(folder, trial)
    folder.trial(damaged.trial_id).history.write_text("epoch,train_loss,seconds\n1,oops,3\n")
    Exporter(uri, the_plan, folder, QUESTION).close(interrupted=False)
    _, children = runs(uri, the_plan)
    assert set(children) == {(trial.arm, trial.seed) for trial in others}
    first, second = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "oops" in first
    assert "not up to date" in second


def test_the_report_is_the_parents_description_metrics_and_artifacts(sweep, uri, tmp_path):
    the_plan, folder = sweep
    folder.report.mkdir(parents=True)
    (folder.report / "report.html").write_text("<p>keep</p>")
    (folder.report / "report.md").write_text(
        "| arm | verdict |\n|---|---|\n| focal_gamma=2 | keep |\n\n![](f.svg)\n"
    )
    comparison = {
        "arm": "focal_gamma=2",
        "delta": 0.011,
        "ci_low_simultaneous": 0.004,
        "ci_high_simultaneous": 0.018,
    }
    arms = [{"arm": "baseline", "mean": 0.66}, {"arm": "focal_gamma=2", "mean": 0.671}]
    report = {"metric": "balanced_accuracy", "arms": arms, "comparisons": [comparison]}
    (folder.report / "report.json").write_text(json.dumps(report))
    watching = Exporter(uri, the_plan, folder, QUESTION)
    watching.attach([folder.report])
    watching.close(interrupted=False)
    before = counted_rows(uri)
    again = Exporter(uri, the_plan, folder, QUESTION)
    again.attach([folder.report])
    again.close(interrupted=False)

    parent, _ = runs(uri, the_plan)
    assert counted_rows(uri) == before
    assert "| focal_gamma=2 | keep |" in parent.data.tags[views.NOTE_TAG]
    assert "![" not in parent.data.tags[views.NOTE_TAG]
    assert parent.data.metrics["delta/focal_gamma 2"] == 0.011
    stored = {path.name for path in (tmp_path / "mlartifacts").rglob("*") if path.is_file()}
    assert stored == {"report.html", "report.md", "report.json"}


REPORT = {
    "metric": "balanced_accuracy",
    "arms": [
        {
            "arm": "baseline",
            "mean": 0.66,
            "sd": 0.005,
            "top1": 0.73,
            "top3": 0.92,
            "balanced_accuracy": 0.66,
            "ece": 0.05,
        },
        {
            "arm": "focal_gamma=2",
            "mean": 0.671,
            "sd": None,
            "top1": 0.74,
            "top3": 0.93,
            "balanced_accuracy": 0.671,
            "ece": 0.07,
        },
    ],
    "noise": {"sd": 0.006, "ci_low": 0.004, "ci_high": 0.009, "seed_correlation": None},
    "comparisons": [
        {
            "arm": "focal_gamma=2",
            "delta": 0.011,
            "ci_low_simultaneous": 0.004,
            "ci_high_simultaneous": 0.018,
            "p_adjusted": 0.01,
            "probability_better": 0.9,
            "verdict": "keep",
            "label": "practical",
            "seeds": [0, 1],
            "seed_deltas": [0.012, 0.010],
        }
    ],
    "recommendation": {"ship": "focal_gamma=2"},
    "calibration": [{"arm": "baseline", "temperature": {"mean": 1.3}, "after": None}],
    "posthoc": [
        {"name": f"{arm}+hflip", "arm": arm, "primary": {"delta": 0.01}, "ci_low_simultaneous": 0.0}
        for arm in ("baseline", "focal_gamma=2")
    ],
    "abstain": {"arms": [{"arm": "baseline", "answer": {"share": {"mean": 0.4}, "risk": None}}]},
}
"""What of a report reaches MLflow, some of it unknown."""


def judged(folder, report=REPORT):
    folder.report.mkdir(parents=True, exist_ok=True)
    (folder.report / "report.json").write_text(json.dumps(report))
    return [folder.report]


def test_the_parents_metrics_are_the_reports_figures_and_what_is_unknown_is_left_out(sweep, uri):
    the_plan, folder = sweep
    watching = Exporter(uri, the_plan, folder, QUESTION)
    watching.attach(judged(folder))
    watching.close(interrupted=False)
    parent, _ = runs(uri, the_plan)
    assert parent.data.metrics == {
        "balanced_accuracy/baseline": 0.66,
        "balanced_accuracy/focal_gamma 2": 0.671,
        "top1/baseline": 0.73,
        "top1/focal_gamma 2": 0.74,
        "top3/baseline": 0.92,
        "top3/focal_gamma 2": 0.93,
        "ece/baseline": 0.05,
        "ece/focal_gamma 2": 0.07,
        "run_sd/baseline": 0.005,
        "delta/focal_gamma 2": 0.011,
        "delta_low/focal_gamma 2": 0.004,
        "delta_high/focal_gamma 2": 0.018,
        "p_adjusted/focal_gamma 2": 0.01,
        "probability_better/focal_gamma 2": 0.9,
        "noise/run_sd": 0.006,
        "noise/run_sd_low": 0.004,
        "noise/run_sd_high": 0.009,
        "verdicts/keep": 1,
        "verdicts/reject": 0,
        "verdicts/inconclusive": 0,
        "temperature/baseline": 1.3,
        "posthoc_delta/focal_gamma 2 - hflip": 0.01,
        "posthoc_delta_low/focal_gamma 2 - hflip": 0.0,
        "answered/baseline": 0.4,
    }
    assert parent.data.tags["ship"] == "focal_gamma=2"
    assert parent.data.tags["verdict/focal_gamma 2"] == "keep, practical"


def test_each_trial_has_its_arms_verdict_and_its_own_delta_to_the_baseline_of_its_seed(sweep, uri):
    the_plan, folder = sweep
    for trial in the_plan.trials:
        finish(folder, trial)
    for _ in range(2):
        watching = Exporter(uri, the_plan, folder, QUESTION)
        watching.attach(judged(folder))
        watching.close(interrupted=False)
    _, children = runs(uri, the_plan)
    assert {key: run.data.tags["verdict"] for key, run in children.items()} == {
        ("baseline", 0): "baseline",
        ("baseline", 1): "baseline",
        ("focal_gamma=2", 0): "keep, practical",
        ("focal_gamma=2", 1): "keep, practical",
    }
    deltas = {key: run.data.metrics.get("delta/balanced_accuracy") for key, run in children.items()}
    assert deltas["focal_gamma=2", 1] == 0.010
    assert deltas["baseline", 1] is None
    database = uri.removeprefix("sqlite:///")
    with sqlite3.connect(database) as connection:
        sent = connection.execute("SELECT count(*) FROM metrics WHERE key LIKE 'delta/bal%'").fetchone()
    connection.close()
    assert sent == (2,)  # the second report sent none again


def keep_model(folder, trial):
    """Leave what a finished trial leaves that keeps its model; the model that it saved."""
    files = folder.trial(trial.trial_id)
    config = ModelConfig(architecture="resnet", settings={"hidden_sizes": [8], "depths": [1], "embedding_size": 8})
    data = DataConfig(image_size=16)
    model = build_model(config, ("acne", "eczema"))
    save_classifier(
        model, Config(data=data, model=config, training=TrainingConfig()), ("acne", "eczema"), files.model
    )
    finish(folder, trial)
    return model.eval()


def models(uri, the_plan):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    return client, client.search_logged_models([client.get_experiment_by_name(the_plan.sweep.name).experiment_id])


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred")  # mlflow.pyfunc, of its own
def test_the_chosen_model_is_logged_once_and_loads_without_a_pickle_to_the_same_logits(sweep, uri, monkeypatch):
    the_plan, folder = sweep
    trial = the_plan.trials[1]
    model = keep_model(folder, trial)
    for _ in range(2):
        watching = Exporter(uri, the_plan, folder, QUESTION)
        watching.offer(Chosen(trial=trial, why="of 2 seeds the best on val, never on test"))
        watching.close(interrupted=False)
        assert watching.n_errors == 0
    _, (logged,) = models(uri, the_plan)
    parent, children = runs(uri, the_plan)
    run = children[trial.arm, trial.seed]
    assert (logged.name, logged.status.value, logged.source_run_id) == ("focal-laptop", "READY", run.info.run_id)
    assert logged.tags["chosen"] == "of 2 seeds the best on val, never on test"
    assert logged.params["focal_gamma"] == "2.0"
    assert parent.data.tags["model"] == f"models:/{logged.model_id}"
    assert parent.data.tags["model.trial"] == trial.title
    assert [output.model_id for output in run.outputs.model_outputs] == [logged.model_id]

    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    files = Path(mlflow.artifacts.download_artifacts(f"models:/{logged.model_id}"))
    assert {str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()} == {
        "MLmodel",
        "registered_model_meta",  # MLflow's own, of the download
        "requirements.txt",
        "data/config.json",
        "data/model.safetensors",
        "data/preprocessing.json",
    }
    pixels = torch.zeros(1, 3, 16, 16)
    with torch.inference_mode():
        plain = AutoModelForImageClassification.from_pretrained(files / "data").eval()(pixels).logits
        assert torch.allclose(plain, model(pixels).logits, atol=1e-6)
    photograph = io.BytesIO()
    Image.new("RGB", (40, 20)).save(photograph, "PNG")
    served = mlflow.pyfunc.load_model(str(files)).predict(pd.DataFrame({"image": [photograph.getvalue()]}))
    assert list(served.columns) == ["acne", "eczema"]
    assert served.to_numpy().sum() == pytest.approx(1)


def test_a_model_that_was_cut_off_is_logged_anew_and_leaves_no_half_one(sweep, uri):
    the_plan, folder = sweep
    trial = the_plan.trials[0]
    keep_model(folder, trial)
    Exporter(uri, the_plan, folder, QUESTION).close(interrupted=False)
    client, _ = models(uri, the_plan)
    run = runs(uri, the_plan)[1][trial.arm, trial.seed]
    digest = folder.trial(trial.trial_id).manifest()["model"]["model.safetensors"]
    half = client.create_logged_model(
        run.info.experiment_id, "focal-laptop", run.info.run_id, {views.DIGEST_TAG: digest}
    )
    watching = Exporter(uri, the_plan, folder, QUESTION)
    watching.offer(Chosen(trial=trial, why="the baseline"))
    watching.close(interrupted=False)
    _, (logged,) = models(uri, the_plan)
    assert logged.model_id != half.model_id
    assert logged.status.value == "READY"


def test_a_description_never_exceeds_what_mlflow_keeps_and_says_where_the_rest_is():
    report = "\n\n".join(f"Paragraph {i} of a long report." for i in range(1000))
    note = views.describe_sweep(planned(), QUESTION, Path("runs/focal-laptop"), report)
    assert len(note) <= views.NOTE_LIMIT
    assert "of a long report.\n\nThe whole report is under *Artifacts*, in `report`.\n\n2 arms × 2 seeds" in note


def test_a_description_begins_with_the_answer_for_the_ui_folds_the_rest_away():
    report = "# focal\n\n_Does it help?_\n\n- Keep focal_gamma=2.\n\n## Verdicts\n"
    note = views.describe_sweep(planned(), QUESTION, Path("runs/focal-laptop"), report)
    assert note.startswith("- Keep focal_gamma=2.")


def test_starting_waits_for_nothing_and_needs_no_mlflow():
    code = "import sys, dermtune.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_mlflow_out_of_reach_is_said_once_without_the_password_and_stops_nothing(sweep, monkeypatch, caplog):
    the_plan, folder = sweep
    monkeypatch.setattr(exporter, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(exporter, "LONGEST_PAUSE_SECONDS", 0.02)
    watching = Exporter(f"http://anna:secret@127.0.0.1:{free_port()}", the_plan, folder, QUESTION)
    watching.start()
    for trial in the_plan.trials:
        watching.started(trial)
        finish(folder, trial)
        watching.finished(trial, {})
    wait_until(lambda: watching.n_errors >= 3)
    watching.close(interrupted=False)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2
    assert "training goes on" in warnings[0]
    assert "the same command again completes it" in warnings[1]
    assert "secret" not in caplog.text


def export_alone(uri, out, index):
    the_plan = planned(n_seeds=1, epochs=3 + index)
    folder = SweepFolder(Path(out) / str(index))
    for trial in the_plan.trials:
        finish(folder, trial)
    watching = Exporter(uri, the_plan, folder, QUESTION)
    watching.close(interrupted=False)
    sys.exit(watching.n_errors)


def test_eight_drivers_make_the_store_at_once_without_an_error(uri, tmp_path):
    context = multiprocessing.get_context("spawn")
    drivers = [context.Process(target=export_alone, args=(uri, tmp_path, i)) for i in range(8)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert [driver.exitcode for driver in drivers] == [0] * 8
    assert counted_rows(uri)["runs"] == 8 * 3


def test_a_server_killed_in_the_middle_has_everything_once_after_its_return(sweep, tmp_path, monkeypatch):
    the_plan, folder = sweep
    monkeypatch.setattr(exporter, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(exporter, "LONGEST_PAUSE_SECONDS", 0.1)
    folder.report.mkdir(parents=True)
    (folder.report / "report.html").write_text("<p>keep</p>")
    port = free_port()
    uri, database = f"http://127.0.0.1:{port}", f"sqlite:///{tmp_path / 'server.db'}"
    first, second, third, fourth = the_plan.trials
    server = start_server(tmp_path, port)
    try:
        watching = Exporter(uri, the_plan, folder, QUESTION)
        watching.start()
        watching.started(first)
        finish(folder, first)
        watching.finished(first, {})
        watching.started(second)
        folder.trial(second.trial_id).write_history(history(1))
        watching.epoch(second, {})
        wait_until(lambda: counted_rows(database)["metrics"] == 3 * N_CURVES + 3 + N_CURVES)
        stop(server)
        for trial in (second, third):
            finish(folder, trial)
            watching.finished(trial, {})
        errors = watching.n_errors
        wait_until(lambda: watching.n_errors > errors)
        server = start_server(tmp_path, port)
        finish(folder, fourth)
        watching.finished(fourth, {})
        watching.attach([folder.report])
        watching.close(interrupted=False)

        parent, children = runs(uri, the_plan)
        assert parent.info.status == "FINISHED"
        assert Counter(run.info.status for run in children.values()) == {"FINISHED": 4}
        assert counted_rows(database)["metrics"] == 4 * (3 * N_CURVES + 3)
        assert [path.name for path in (tmp_path / "artifacts").rglob("*.html")] == ["report.html"]
    finally:
        stop(server)


def start_server(folder, port):
    store = [
        "--backend-store-uri",
        f"sqlite:///{folder / 'server.db'}",
        "--artifacts-destination",
        folder / "artifacts",
    ]
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (folder / "server.log").open("a") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *store, *where],
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
    wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), seconds=90)
    return server


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except OSError:
        return False


def stop(server):
    """Kill the server and its workers; once stopped, do nothing."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(holds, seconds=30):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not come to hold within {seconds} s"
        time.sleep(0.05)
