"""The tracking server is killed, silent or away for good: nothing is lost or doubled, all is sent later."""

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import mlflow
import pytest

from dermtune.export import main as export
from dermtune.ledger import SweepFolder
from dermtune.tracking import Exporter, exporter
from dermtune.tracking.views import NO_STEP, SWEEP_TAG, TRIAL_TAG, read_curves
from tests.tiny_sweep import RECIPE, ROOT, TinySweep, wait_until
from tests.tracked_sweep import QUESTION, finish, planned, runs
from tests.tracking_server import (
    BUCKET,
    PASSWORD,
    postgres_programs,
    s3_client,
    silent_server,
    sqlite_server,
    team_server,
)

AWAY_SECONDS = 4
"""How long a killed server stays away, beside the time that it takes to start."""
LONG = 150
"""Epochs of a trial that is still trained when the server is back; their points are more than a batch holds."""


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    if postgres_programs() is None:
        pytest.skip("needs PostgreSQL's initdb (Debian: postgresql)")
    with team_server(tmp_path_factory.mktemp("server")) as server:
        server.start()
        yield server


@pytest.fixture
def alone(tmp_path):
    with sqlite_server(tmp_path) as server:
        server.start()
        yield server


def points_of(client, run):
    """Every point of a run, doubled ones twice."""
    histories = (client.get_metric_history(run.info.run_id, key) for key in run.data.metrics)
    return Counter((point.key, point.step, point.value) for points in histories for point in points)


def check_all_is_there_once(tiny, uri):
    """Each run, point, parameter and file of the sweep, and nothing besides."""
    client = mlflow.MlflowClient(tracking_uri=uri)
    found = tiny.mlflow_runs(uri)
    (parent,) = [run for run in found if SWEEP_TAG in run.data.tags]
    children = {run.data.tags[TRIAL_TAG]: run for run in found if TRIAL_TAG in run.data.tags}
    assert len(found) == 1 + len(children)
    assert set(children) == set(tiny.trials())
    assert {run.info.status for run in found} == {"FINISHED"}
    for trial_id, manifest in tiny.trials().items():
        run = children[trial_id]
        curves = {(p.key, p.step, p.value) for p in read_curves(tiny.folder / "trials" / trial_id / "history.csv")}
        points = points_of(client, run)
        assert set(points.values()) == {1}
        assert {point for point in points if point[1] != NO_STEP} == curves
        scores = {f"test/{name}": value for name, value in manifest["scores"]["test"].items()}
        assert scores.items() <= run.data.metrics.items()
        assert run.data.params["focal_gamma"] == str(manifest["levers"]["focal_gamma"])
        assert run.data.params["training.epochs"] == str(manifest["config"]["training"]["epochs"])
        assert [data.dataset.name for data in run.inputs.dataset_inputs] == ["tiny"]
        assert run.data.tags["verdict"]
    assert set(points_of(client, parent).values()) == {1}
    return client, parent


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def statuses(tiny, server):
    return Counter(run.info.status for run in tiny.mlflow_runs(server.uri))


def test_a_server_on_postgresql_and_s3_killed_under_a_sweep_has_everything_once_at_its_end(team, tmp_path, shared):
    tiny = TinySweep.written(tmp_path / "here", shared, recipe=RECIPE.replace("epochs=4", f"epochs={LONG}"))
    sweep = tiny.start("--tracking-uri", team.uri)
    try:
        wait_until(lambda: statuses(tiny, team)["RUNNING"] > 1, "a trial's run")
        team.kill()
        time.sleep(AWAY_SECONDS)
        team.start()
        output, _ = sweep.communicate(timeout=300)
    finally:
        sweep.kill()
    assert sweep.returncode == 0, output
    assert "is not up to date" not in output
    client, parent = check_all_is_there_once(tiny, team.uri)
    report = files_of(tiny.folder / "report")
    assert files_of(Path(client.download_artifacts(parent.info.run_id, "report", str(tmp_path)))) == report
    s3 = s3_client(team.environment["MLFLOW_S3_ENDPOINT_URL"])
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="runs/")["Contents"]
    kept = {
        file["Key"].partition("/report/")[2]: s3.get_object(Bucket=BUCKET, Key=file["Key"])["Body"].read()
        for file in listed
        if parent.info.run_id in file["Key"]
    }
    assert kept == report
    for text in (output, (team.folder / "server.log").read_text()):
        assert PASSWORD not in text


def test_a_server_that_is_gone_for_good_ends_no_sweep_and_one_command_sends_everything_later(alone, tiny, capsys):
    sweep = tiny.start("--tracking-uri", alone.uri)
    try:
        wait_until(lambda: statuses(tiny, alone)["RUNNING"] > 1, "a trial's run")
        alone.kill()
        output, _ = sweep.communicate(timeout=300)
    finally:
        sweep.kill()
    assert sweep.returncode == 0, output
    assert f"python -m dermtune.export runs/tiny-tiny --tracking-uri {alone.uri}`" in output
    assert output.count("training goes on") == 1
    command = [str(tiny.folder), "--tracking-uri", alone.uri]
    assert export(command) == 1
    assert "Connection refused; the same command completes it" in capsys.readouterr().err

    alone.start()
    assert export(command) == 0
    assert "tiny-tiny: 4 of 4 trials done; 5 runs sent" in capsys.readouterr().out
    check_all_is_there_once(tiny, alone.uri)
    before = [run.to_dictionary() for run in tiny.mlflow_runs(alone.uri)]
    assert export(command) == 0
    assert "nothing was missing" in capsys.readouterr().out
    assert [run.to_dictionary() for run in tiny.mlflow_runs(alone.uri)] == before


def test_sigterm_leaves_in_seconds_though_the_server_takes_every_connection_and_answers_none(tiny):
    with silent_server() as uri:
        sweep = tiny.start("--tracking-uri", uri)
        try:
            wait_until(lambda: list(tiny.folder.glob("trials/*/history.csv")), "an epoch")
            asked = time.monotonic()
            sweep.send_signal(signal.SIGTERM)
            output, _ = sweep.communicate(timeout=60)
            took = time.monotonic() - asked
        finally:
            sweep.kill()
    assert sweep.returncode == 128 + signal.SIGTERM, output
    assert "completes it" in output
    assert took < 10, "calm it takes less than 5 s"


def test_the_end_waits_half_a_minute_at_most_for_a_server_that_answers_nothing(tmp_path, caplog):
    the_plan = planned()
    folder = SweepFolder(tmp_path / the_plan.folder_name)
    for trial in the_plan.trials:
        finish(folder, trial)
    with silent_server() as uri:
        hurried, patient = (Exporter(uri, the_plan, folder, QUESTION) for _ in range(2))
        for watching in (hurried, patient):
            watching.start()
        started = time.monotonic()
        assert not hurried.close(interrupted=True)
        assert time.monotonic() - started < exporter.HURRY_SECONDS + 2
        assert not patient.close(interrupted=False)
        assert time.monotonic() - started < 40
    assert sum("is not up to date" in record.getMessage() for record in caplog.records) == 2


def test_two_exports_of_one_folder_at_once_make_one_tree_of_runs(team, tmp_path, capsys):
    the_plan = planned(n_seeds=4)
    folder = SweepFolder(tmp_path / the_plan.folder_name)
    folder.write_plan(the_plan, QUESTION)
    for trial in the_plan.trials:
        finish(folder, trial)
    command = [sys.executable, "-m", "dermtune.export", str(folder.path), "--tracking-uri", team.uri]
    exports = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=240)[0] for process in exports]
    assert [process.returncode for process in exports] == [0, 0, 0], said
    _, children = runs(team.uri, the_plan)
    assert {run.info.status for run in children.values()} == {"FINISHED"}
    assert len(children) == 8
    client = mlflow.MlflowClient(tracking_uri=team.uri)
    for run in children.values():
        assert set(points_of(client, run).values()) == {1}
