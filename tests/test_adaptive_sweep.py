"""The whole line with adaptive repeats: real trials on Ray, rounds, the report and MLflow."""

import json

import pytest
from mlflow import MlflowClient

from dermtune.export import main as export
from tests.tiny_sweep import TinySweep

QUESTION = '''"""Is a gain of 90 points ruled out?"""

from dermtune.plan import Sweep


def sweep():
    return Sweep(
        name="tiny",
        grid={"focal_gamma": (0.0, 2.0)},
        baseline={"focal_gamma": 0.0},
        seeds=range(3),
        looks=(2, 3),
        repeats="adaptive",
        guard_metrics=(),
        margin=0.9,
    )
'''


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A sweep whose arm the first look rejects, and what its two commands said."""
    tiny = TinySweep.written(
        tmp_path_factory.mktemp("adaptive"), tmp_path_factory.mktemp("shared"), question=QUESTION
    )
    return tiny, tiny.run("--dry-run"), tiny.run("--log-model"), tiny.run("--log-model")


def said(command):
    """What it printed, however its lines were broken."""
    return " ".join(command.stdout.split())


def test_the_sweep_ends_where_its_only_arm_is_decided_and_starts_nothing_more(ended):
    tiny, before, first, again = ended
    assert (before.returncode, first.returncode, again.returncode) == (0, 0, 0)
    assert {(m["arm"], m["seed"]) for m in tiny.trials().values()} == {
        (arm, seed) for arm in ("baseline", "focal_gamma=2") for seed in (0, 1)
    }
    assert "; 2 trials spared so far" in said(again)
    assert "Nothing to run: 4 of 4 trials done." in said(again)


def test_it_is_said_beforehand_what_it_takes_and_at_the_look_what_is_decided(ended):
    _, before, first, _ = ended
    assert "adaptive: 6 trials at most" in said(before)
    assert "Look 1 of 2, at 2 seeds: focal_gamma=2 decided; no arm is open, and the baseline stops too." in said(
        first
    )


def test_the_report_and_mlflow_have_what_was_run_and_wait_for_nothing(ended):
    tiny, *_ = ended
    report = json.loads((tiny.folder / "report" / "report.json").read_text())
    assert [(arm["arm"], arm["fate"], arm["n_seeds"], arm["spared"]) for arm in report["repeats"]["arms"]] == [
        ("baseline", "decided", 2, 1),
        ("focal_gamma=2", "decided", 2, 1),
    ]
    assert report["problems"] == []
    assert report["comparisons"][0]["verdict"] == "reject"
    assert sorted(run.info.status for run in tiny.mlflow_runs()) == ["FINISHED"] * 5


def test_the_best_trials_model_alone_is_kept_though_spared_trials_never_ran(ended):
    tiny, *_ = ended
    assert len([*tiny.folder.glob("trials/*/model")]) == 1


def test_an_export_has_it_finished_too(ended, tmp_path, capsys):
    tiny, *_ = ended
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert export([str(tiny.folder), "--tracking-uri", uri]) == 0
    assert "4 of 4 trials done; 5 runs sent\n" in capsys.readouterr().out
    client = MlflowClient(uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert sorted(run.info.status for run in runs) == ["FINISHED"] * 5
