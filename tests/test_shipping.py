"""Which trial's model a sweep ends with, and what becomes of the others."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from dermtune.ledger import SweepFolder
from dermtune.shipping import choose, log_model
from tests.plans import planned

PLAN = planned(n_seeds=3)


def judged(*, verdict="keep", metric="balanced_accuracy"):
    """As much of a report as the choice needs."""
    comparison = SimpleNamespace(arm="focal_gamma=1", delta=0.02, verdict=verdict, label="", guards=(), diverged=0)
    return SimpleNamespace(metric=metric, baseline="baseline", comparisons=(comparison,))


class Offers:
    """An exporter that only remembers."""

    def __init__(self):
        self.chosen = []

    def offer(self, chosen):
        self.chosen.append(chosen)


def finish(folder, trial, *, val, test=0.5, model=True):
    files = folder.trial(trial.trial_id)
    files.write_history([{"epoch": 1, "train_loss": 1.0, "seconds": 1.0}])
    for split in ("val", "test"):
        files.predictions(split).write_bytes(b"predictions")
    if model:
        files.model.mkdir()
        (files.model / "model.safetensors").write_bytes(trial.title.encode())
    scores = {"balanced_accuracy": val, "nll": val}
    files.finish({"trial_id": trial.trial_id, "scores": {"val": scores, "test": {"balanced_accuracy": test}}})


@pytest.fixture
def folder(tmp_path):
    """A sweep whose seeds do the better on val the worse they do on test; of each arm, seed 1 does best on val."""
    sweep = SweepFolder(tmp_path / "focal-laptop")
    for trial in PLAN.trials:
        val = {0: 0.60, 1: 0.66, 2: 0.63}[trial.seed]
        finish(sweep, trial, val=val, test=1 - val)
    return sweep


def logged(report, folder):
    offers, console = Offers(), Console(file=io.StringIO(), width=60)
    log_model(report, PLAN, folder, offers, console)
    return offers.chosen, console.file.getvalue()


def with_models(folder):
    return [trial.title for trial in PLAN.trials if folder.trial(trial.trial_id).model.exists()]


def test_of_the_kept_arm_the_seed_that_is_best_on_val_is_chosen_whatever_test_says(folder):
    chosen = choose(judged(), PLAN, folder)
    assert (chosen.trial.arm, chosen.trial.seed) == ("focal_gamma=1", 1)
    assert chosen.why == ("the arm is kept; of 3 seeds the best on val (balanced accuracy 66.00), never on test")


def test_where_nothing_is_kept_it_is_the_baseline_and_of_nll_the_least(folder):
    chosen = choose(judged(verdict="inconclusive", metric="nll"), PLAN, folder)
    assert (chosen.trial.arm, chosen.trial.seed) == ("baseline", 0)
    assert chosen.why.startswith("the arm is the baseline, none is kept; of 3 seeds the best on val (NLL 0.6")


def test_the_other_trials_models_go_once_every_trial_is_done(folder):
    (chosen,), said = logged(judged(), folder)
    assert with_models(folder) == [chosen.trial.title]
    assert said.startswith("model   focal_gamma=1 · seed 1: the arm is kept")
    assert [c.trial for c in logged(judged(), folder)[0]] == [
        chosen.trial
    ]  # it is still there for a server's return


def test_while_trials_are_missing_every_model_stays_for_a_later_one_may_be_the_best(folder):
    (folder.trial(PLAN.trials[-1].trial_id).path / "manifest.json").unlink()
    (chosen,), _ = logged(judged(), folder)
    assert chosen.trial.seed == 1
    assert len(with_models(folder)) == len(PLAN.trials)


@pytest.mark.parametrize("state", ["gone", "altered"])
def test_weights_that_are_not_there_or_not_the_sealed_ones_are_not_logged_and_one_line_says_so(folder, state):
    best = choose(judged(), PLAN, folder).trial
    weights = folder.trial(best.trial_id).model / "model.safetensors"
    weights.unlink() if state == "gone" else weights.write_bytes(b"other weights")
    offers, said = logged(judged(), folder)
    assert offers == []
    assert said == (
        "model   none is logged: the weights of focal_gamma=1 · seed 1, which would be it, were not kept; where "
        f"trials/{best.trial_id} is removed, the same command trains it again, to the same predictions\n"
    )
