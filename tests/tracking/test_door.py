"""A sweep's folder goes to another server by one command, without the sweep file, the recipe and the images."""

import json
from dataclasses import replace

import pytest

from dermtune.config import Config
from dermtune.export import main
from dermtune.firstfile import write_first
from dermtune.firstplan import question_of
from dermtune.journal import Journal
from dermtune.ledger import Pruned, SweepFolder
from dermtune.plan import Plan
from dermtune.tracking import Exporter, views
from dermtune.uris import shown, where_to_look, without_secrets
from tests.test_staging import SEARCHED, picked, staging
from tests.tracked_sweep import QUESTION, counted_rows, finish, history, planned, runs


@pytest.fixture
def recorded(sweep):
    the_plan, folder = sweep
    folder.write_plan(the_plan, QUESTION)
    return the_plan, folder


def asked(folder):
    return json.loads((folder.path / "sweep.json").read_text())


def write_asked(folder, content):
    (folder.path / "sweep.json").write_text(json.dumps(content))


def export(folder, uri):
    return main([str(folder.path), "--tracking-uri", uri])


def test_an_export_makes_the_runs_that_the_sweep_would_have_made_and_a_second_writes_nothing(
    recorded, uri, tmp_path, capsys
):
    the_plan, folder = recorded
    for trial in the_plan.trials:
        finish(folder, trial)
    folder.report.mkdir()
    (folder.report / "report.html").write_text("<p>keep</p>")
    assert export(folder, uri) == 0
    assert "focal-laptop: 4 of 4 trials done; 5 runs sent\n" in capsys.readouterr().out
    parent, children = runs(uri, the_plan)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags[views.SWEEP_TAG] == views.sweep_id(the_plan)
    assert QUESTION in parent.data.tags[views.NOTE_TAG]
    assert {run.info.status for run in children.values()} == {"FINISHED"}
    assert children["focal_gamma=2", 1].data.params == views.trial_params(the_plan.trials[3])
    (artifact,) = (tmp_path / "mlartifacts").rglob("report.html")
    written = artifact.stat().st_mtime_ns
    before, ended = counted_rows(uri), parent.info.end_time
    assert export(folder, uri) == 0
    assert "; nothing was missing\n" in capsys.readouterr().out
    assert counted_rows(uri) == before
    assert runs(uri, the_plan)[0].info.end_time == ended
    assert artifact.stat().st_mtime_ns == written


def test_runs_that_a_killed_driver_left_running_are_ended_by_an_export(recorded, uri, capsys):
    the_plan, folder = recorded
    begun, silent, *_ = the_plan.trials
    larger = replace(the_plan, trials=planned(n_seeds=3).trials)
    unlisted = larger.trials[-1]
    killed_driver = Exporter(uri, larger, folder, QUESTION)
    for trial in (begun, silent, unlisted):
        killed_driver.started(trial)
    folder.trial(begun.trial_id).write_history(history(1))
    killed_driver.sync()
    parent, children = runs(uri, the_plan)
    assert {run.info.status for run in (parent, *children.values())} == {"RUNNING"}

    assert export(folder, uri) == 0
    assert "0 of 4 trials done" in capsys.readouterr().out
    parent, children = runs(uri, the_plan)
    assert len(children) == 3
    assert {run.info.status for run in (parent, *children.values())} == {"KILLED"}


def test_a_sweep_that_runs_now_is_exported_as_running_and_completed_by_the_next_export(recorded, uri, capsys):
    the_plan, folder = recorded
    done, begun, failed, _ = the_plan.trials
    finish(folder, done)
    folder.trial(begun.trial_id).write_history(history(1))
    folder.trial(failed.trial_id).fail("diverged", "train_loss is NaN", "")
    with folder.lock():
        assert export(folder, uri) == 0
        lock = (folder.path / "driver.lock").read_text()
        assert '"pid"' in lock
    assert "the sweep runs now, the same command sends what comes later" in capsys.readouterr().out
    parent, children = runs(uri, the_plan)
    assert parent.info.status == "RUNNING"
    assert {(r.data.tags["arm"], r.info.status) for r in children.values()} == {
        ("baseline", "FINISHED"), ("focal_gamma=2", "RUNNING"), ("baseline", "FAILED"),
    }  # fmt: skip
    assert export(folder, uri) == 0
    parent, children = runs(uri, the_plan)
    assert "RUNNING" not in {run.info.status for run in (parent, *children.values())}


@pytest.fixture
def searching(tmp_path):
    """A search that runs: the baseline is done, one point pruned, one under way."""
    folder, first = SweepFolder(tmp_path / "s-laptop"), staging(SEARCHED).planned().first.plan
    write_first(folder, first, question_of(SEARCHED, first), QUESTION)
    journal = Journal(staging(SEARCHED).points(), folder)
    done, pruned, under_way = (journal.propose() for _ in range(3))
    finish(folder, done)
    folder.trial(pruned.trial_id).write_history(history(2))
    folder.trial(pruned.trial_id).prune(Pruned(epochs=2, scores={"top1": 0.2}))
    folder.trial(under_way.trial_id).write_history(history(1))
    return first, folder


def test_a_search_that_runs_is_exported_with_its_pruned_points_ended_and_no_score_on_test(searching, uri):
    first, folder = searching
    with folder.lock():
        assert export(folder, uri) == 0
    parent, children = runs(uri, first)
    assert {arm: run.info.status for (arm, _), run in children.items()} == {
        "baseline": "FINISHED", "point-1": "FINISHED", "point-2": "RUNNING",
    }  # fmt: skip
    assert parent.info.status == "RUNNING"
    shown_of_baseline = children["baseline", 1000].data.metrics
    assert "val/nll" in shown_of_baseline
    assert not [key for key in shown_of_baseline if key.startswith("test/")]


def test_what_another_question_picked_is_not_sent_as_this_ones(searching, uri):
    first, folder = searching
    picked(replace(SEARCHED, first=replace(SEARCHED.first, n_points=12))).write(folder.selection)
    assert export(folder, uri) == 0
    parent, _ = runs(uri, first)
    assert parent.info.status == "KILLED"
    assert parent.data.metrics == {}
    picked(SEARCHED).write(folder.selection)
    assert export(folder, uri) == 0
    parent, _ = runs(uri, first)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["tried/done"] == 3


def test_a_folder_from_before_the_config_was_kept_tells_it_by_a_done_trials_manifest(recorded, uri, capsys):
    the_plan, folder = recorded
    write_asked(folder, {k: v for k, v in asked(folder).items() if k not in ("config", "grid", "fingerprints")})
    assert export(folder, uri) == 2
    assert "there must be a `config`, or a done trial that has it" in capsys.readouterr().err
    trial = the_plan.trials[1]
    finish(folder, trial)
    manifest = folder.trial(trial.trial_id).path / "manifest.json"
    more = {"config": trial.config.to_dict(), "fingerprints": dict(trial.fingerprints)}
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **more}))
    assert export(folder, uri) == 0
    parent, children = runs(uri, the_plan)
    assert parent.data.tags[views.SWEEP_TAG] == views.sweep_id(the_plan)
    assert set(children) == {("focal_gamma=2", 0)}


def test_further_seeds_of_an_earlier_larger_plan_are_exported_with_it(sweep, uri):
    _, folder = sweep
    larger, smaller = planned(n_seeds=3), planned(n_seeds=1)
    for trial in larger.trials[:5]:
        finish(folder, trial)
    folder.write_plan(larger, QUESTION)
    folder.write_plan(smaller, QUESTION)
    assert export(folder, uri) == 0
    assert set(runs(uri, smaller)[1]) == {(trial.arm, trial.seed) for trial in larger.trials[:5]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"config": {"data": {}, "model": {"architecture": "siglip"}, "training": {"epochs": 9}}}, "trial_id"),
        ({"config": {"data": {"image_sizes": 9}}}, "unknown field 'image_sizes' of DataConfig"),
        ({"config": {"data": {}}}, "Config must have all its fields"),
        ({"trials": [{"trial_id": "x", "arm": "other", "seed": 0}]}, "every trial must be of an arm and a seed"),
        ({"arms": []}, "must hold what was asked"),
        ({"seeds": "none"}, "a seed must be a whole number"),
    ],
)
def test_a_folder_that_does_not_hold_together_is_refused_in_one_line(recorded, uri, capsys, change, said):
    _, folder = recorded
    write_asked(folder, {**asked(folder), **change})
    assert export(folder, uri) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"dermtune-export: {folder.path}/sweep.json")
    assert said in error
    assert error.count("\n") == 1


def test_what_is_no_sweeps_folder_and_what_is_no_store_is_bad_input(tmp_path, uri, capsys):
    assert main([str(tmp_path / "gone"), "--tracking-uri", uri]) == 2
    assert "gone must be a sweep's folder, with a sweep.json" in capsys.readouterr().err
    with pytest.raises(SystemExit) as refused:
        main([str(tmp_path), "--tracking-uri", "mlruns"])
    assert refused.value.code == 2
    assert "must begin with one of http:, https:, sqlite:" in capsys.readouterr().err


def test_a_damaged_trial_is_named_and_the_others_are_sent(recorded, uri, capsys):
    the_plan, folder = recorded
    for trial in the_plan.trials:
        finish(folder, trial)
    folder.trial(the_plan.trials[0].trial_id).history.write_text("epoch,train_loss,seconds\n1,oops,3\n")
    assert export(folder, uri) == 1
    assert "'oops'; the same command completes it" in capsys.readouterr().err
    assert len(runs(uri, the_plan)[1]) == 3


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("http://anna:geheim@mlflow.lan:5000/x", "http://mlflow.lan:5000/x"),
        ("http://anna:ge/he@im@mlflow.lan", "http://mlflow.lan"),
        ("postgresql+psycopg2://anna:geheim@db/mlflow", "postgresql+psycopg2://db/mlflow"),
        ("postgresql://db/mlflow?user=anna&password=geheim", "postgresql://db/mlflow?user=anna&password=***"),
        ("sqlite:////home/anna@clinic/mlflow.db", "sqlite:////home/anna@clinic/mlflow.db"),
        ("https://mlflow.lan", "https://mlflow.lan"),
    ],
)
def test_a_uri_is_told_without_its_secrets(uri, told):
    assert shown(uri) == told
    assert where_to_look(uri).endswith(told)


def test_secrets_of_the_environment_that_a_server_echoes_are_not_told(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "from-environment")
    text = "401 for from-environment, in the URI ge%3Aheim or ge:heim"
    assert without_secrets(text, "http://a:ge%3Aheim@host") == "401 for ***, in the URI *** or ***"


def test_a_config_comes_back_from_its_dict_and_from_one_that_has_fewer_fields(sweep):
    the_plan, _ = sweep
    plain = json.loads(json.dumps(the_plan.config.to_dict()))
    assert Config.from_dict(plain) == the_plan.config
    del plain["data"]["image_size"], plain["levers"]["logit_adjustment"]
    assert Config.from_dict(plain) == the_plan.config
    assert Plan.from_dict(json.loads(json.dumps(the_plan.to_dict()))).to_dict() == the_plan.to_dict()
