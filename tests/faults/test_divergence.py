"""A loss that is no number: the trial is recorded as diverged, told by name, and weighs on its arm's verdict."""

import json
import re

import pytest

from tests.tiny_sweep import QUESTION, TinySweep


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
    """A sweep of two seeds whose second arm has a learning rate of 1e30, after its end."""
    here = tmp_path_factory.mktemp("diverging")
    question = QUESTION.replace("focal_gamma", "learning_rate").replace("(0.0, 2.0)", "(0.001, 1e30)")
    question = question.replace('"learning_rate": 0.0', '"learning_rate": 0.001')
    sweep = TinySweep.written(here / "here", here / "shared", question=question)
    return sweep, sweep.run(seconds=500)


def test_the_others_go_on_and_the_sweep_says_which_diverged(diverged):
    sweep, done = diverged
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout
    assert {manifest["arm"] for manifest in sweep.trials().values()} == {"baseline"}
    told = re.findall(r"✗ learning_rate=1e\+30 · seed (\d) failed: (.+)", done.stdout)
    assert [seed for seed, _ in told] == ["0", "1"]
    assert all("in epoch 1" in why or "after epoch 1" in why for _, why in told)


def test_each_is_recorded_as_diverged_with_the_epoch(diverged):
    sweep, _ = diverged
    failures = [json.loads(path.read_text()) for path in sweep.folder.glob("trials/*/failure.json")]
    assert [failure["status"] for failure in failures] == ["diverged", "diverged"]
    for failure in failures:
        assert re.fullmatch(
            r"(training loss is (nan|inf) in|logits are not finite after) epoch 1", failure["reason"]
        )
        assert "Diverged" in failure["detail"]


def test_mlflow_has_one_run_a_trial_and_those_that_diverged_as_failed_with_the_reason(diverged):
    sweep, _ = diverged
    runs = {run.info.run_name: run for run in sweep.mlflow_runs()}
    trials = {name: run for name, run in runs.items() if "seed" in name}
    assert {name: run.info.status for name, run in trials.items()} == {
        "baseline · seed 0": "FINISHED",
        "baseline · seed 1": "FINISHED",
        "learning_rate=1e+30 · seed 0": "FAILED",
        "learning_rate=1e+30 · seed 1": "FAILED",
    }
    told = trials["learning_rate=1e+30 · seed 0"].data.tags["mlflow.note.content"]
    assert "training loss is" in told or "logits are not finite" in told


def test_the_report_says_that_the_arm_diverged_with_every_seed(diverged):
    sweep, _ = diverged
    problems = json.loads((sweep.folder / "report" / "report.json").read_text())["problems"]
    assert any(line.startswith("2 of 4 runs are diverged: learning_rate=1e+30 · seed 0 (") for line in problems)
    assert "arm learning_rate=1e+30 diverged with every seed and is left out" in problems
