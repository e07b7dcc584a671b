"""MLflow shows what the sweep's folder holds: once, completely, and never in the way of training."""

import logging
import multiprocessing
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dermtune.ledger import Pruned, SweepFolder
from dermtune.tracking import Exporter, exporter, views
from tests.tracked_sweep import N_CURVES, QUESTION, counted_rows, finish, history, planned, runs
from tests.tracking_server import free_port, sqlite_server


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
    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "is not up to date: could not convert string to float: 'oops'; the same command" in said


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


class Refusing(BaseHTTPRequestHandler):
    """Answers with its status, whatever is asked."""

    status = 500

    def do_GET(self):
        self.send_error(self.status)

    do_POST = do_GET  # noqa: N815 the name is http.server's

    def log_message(self, *_):
        pass


class NotLettingIn(Refusing):
    """Answers that it does not know who asks."""

    status = 401


@pytest.fixture
def told(sweep, monkeypatch, caplog):
    """Has a sweep watched by a server of this kind to its end, and gives the lines that were told."""

    def run(kind):
        the_plan, folder = sweep
        monkeypatch.setattr(exporter, "PAUSE_SECONDS", 0.01)
        monkeypatch.setattr(exporter, "LAST_PAUSE_SECONDS", 0.01)
        with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            watching = Exporter(f"http://127.0.0.1:{server.server_port}", the_plan, folder, QUESTION)
            watching.start()
            for trial in the_plan.trials:
                finish(folder, trial)
                watching.finished(trial, {})
            assert not watching.close(interrupted=False)
            server.shutdown()
        assert watching.n_errors > 1
        return [record.getMessage() for record in caplog.records]

    return run


def test_a_server_that_answers_500_stops_nothing_and_is_told_in_a_line(told):
    last = told(Refusing)[-1]
    assert "500" in last
    assert "the same command again completes it" in last


def test_a_sweep_that_the_server_refuses_goes_on_and_names_the_variables_to_set(told):
    lines = told(NotLettingIn)
    assert all("MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in line for line in lines)
    assert not any("\n" in line for line in lines)
    assert "the same command again completes it" in lines[-1]


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


def test_runs_made_below_a_doubled_parent_after_another_exporter_removed_it_are_not_left_over(sweep, uri):
    from dermtune.tracking.mirror import Mirror

    the_plan, folder = sweep
    for trial in the_plan.trials:
        finish(folder, trial)
    late = Mirror(uri, the_plan, folder, QUESTION)
    kept = Mirror(uri, the_plan, folder, QUESTION)
    doubled = kept._store.create("double", {views.SWEEP_TAG: late._parent.tags[views.SWEEP_TAG]})
    late._parent = doubled  # as where both exporters found no parent, and this one's is the younger
    for trial in the_plan.trials[1:]:
        kept.show(trial, running=False)
    kept._store.delete(doubled)
    for trial in the_plan.trials[:2]:
        late.show(trial, running=False)

    Exporter(uri, the_plan, folder, QUESTION).close(interrupted=False)
    _, children = runs(uri, the_plan)
    assert {run.info.status for run in children.values()} == {"FINISHED"}
    assert len(children) == len(the_plan.trials)


def test_a_server_killed_in_the_middle_has_everything_once_after_its_return(sweep, tmp_path, monkeypatch):
    the_plan, folder = sweep
    monkeypatch.setattr(exporter, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(exporter, "LONGEST_PAUSE_SECONDS", 0.1)
    folder.report.mkdir(parents=True)
    (folder.report / "report.html").write_text("<p>keep</p>")
    first, second, third, fourth = the_plan.trials
    with sqlite_server(tmp_path) as server:
        server.start()
        watching = Exporter(server.uri, the_plan, folder, QUESTION)
        watching.start()
        watching.started(first)
        finish(folder, first)
        watching.finished(first, {})
        watching.started(second)
        folder.trial(second.trial_id).write_history(history(1))
        watching.epoch(second, {})
        wait_until(lambda: counted_rows(server.store)["metrics"] == 3 * N_CURVES + 3 + N_CURVES)
        server.kill()
        for trial in (second, third):
            finish(folder, trial)
            watching.finished(trial, {})
        errors = watching.n_errors
        wait_until(lambda: watching.n_errors > errors)
        server.start()
        finish(folder, fourth)
        watching.finished(fourth, {})
        watching.attach([folder.report])
        watching.close(interrupted=False)

        parent, children = runs(server.uri, the_plan)
        assert parent.info.status == "FINISHED"
        assert Counter(run.info.status for run in children.values()) == {"FINISHED": 4}
        assert counted_rows(server.store)["metrics"] == 4 * (3 * N_CURVES + 3)
        assert [path.name for path in (tmp_path / "files").rglob("*.html")] == ["report.html"]


def wait_until(holds, seconds=120):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not come to hold within {seconds} s"
        time.sleep(0.05)


def test_a_point_of_a_search_that_nobody_knew_of_is_shown_as_it_trains(sweep, uri):
    the_plan, folder = sweep
    baseline = the_plan.trials[0]
    levers = {"focal_gamma": 1.25}
    point = replace(baseline, arm="point-1", levers=levers, config=baseline.config.with_levers(levers), seed=1000)
    watching = Exporter(uri, the_plan, folder, QUESTION)
    watching.started(point)
    folder.trial(point.trial_id).write_history(history(2))
    watching.epoch(point, history(2)[-1])
    watching.sync()
    run = runs(uri, the_plan)[1]["point-1", 1000]
    assert (run.info.status, run.data.params["focal_gamma"], run.data.metrics["train/loss"]) == (
        "RUNNING",
        "1.25",
        1,
    )
    finish(folder, point)
    watching.finished(point, {})
    watching.close(interrupted=False)
    assert runs(uri, the_plan)[1]["point-1", 1000].info.status == "FINISHED"


def test_a_pruned_point_has_ended_and_says_after_how_many_epochs(sweep, uri):
    the_plan, folder = sweep
    pruned, *_ = the_plan.trials
    watching = Exporter(uri, the_plan, folder, QUESTION)
    watching.started(pruned)
    folder.trial(pruned.trial_id).write_history(history(2))
    folder.trial(pruned.trial_id).prune(Pruned(epochs=2, scores={"top1": 0.2}))
    watching.pruned(pruned, history(2)[-1])
    watching.close(interrupted=True)
    run = runs(uri, the_plan)[1]["baseline", 0]
    assert (run.info.status, run.data.tags[views.PRUNED_TAG]) == ("FINISHED", "after 2 epochs")
    assert run.data.metrics["val/top1"] == pytest.approx(0.2)
    before = counted_rows(uri)
    Exporter(uri, the_plan, folder, QUESTION).sync()
    assert counted_rows(uri) == before
