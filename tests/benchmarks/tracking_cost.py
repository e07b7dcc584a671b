"""What it costs to show a sweep in MLflow, as a share of the training that it shows.

Run:      python -m tests.benchmarks.tracking_cost
Measures: CPU seconds of the exporter for 40 trials of the laptop recipe, 12 epochs each, brought up to date after
          every epoch (in a sweep it looks at most every two seconds), SQLite store; MLflow's import and the store's
          creation, once a sweep, apart.
Peer:     one `mlflow.log_metric` call a value, which is what Ray's MLflowLoggerCallback and most training loops do.
"""

import tempfile
import time
from pathlib import Path

import mlflow
from rich.console import Console

from dermtune.ledger import SweepFolder
from dermtune.loading import load_sweep
from dermtune.plan import Plan, Trial, plan
from dermtune.recipes import laptop
from dermtune.tracking import Exporter

CURVES = (
    "train_loss", "learning_rate", "seconds", "images_per_second", "val_loss", "val_top1", "val_top3",
    "val_balanced_accuracy", "val_macro_f1", "val_ece", "val_nll",
)  # fmt: skip
"""Columns of a history but for its epoch."""


def main() -> None:
    """Print both costs and their shares of the training."""
    with tempfile.TemporaryDirectory() as folder:
        the_plan = planned()
        start, ours = exporter_cost(the_plan, Path(folder))
        theirs = peer_cost(the_plan, Path(folder))
    training = (laptop().seconds_per_trial or 0) * len(the_plan.trials)  # a trial has one core
    say = Console(highlight=False).print
    n_values = len(the_plan.trials) * len(CURVES) * epochs(the_plan)
    say(f"{len(the_plan.trials)} trials, {n_values:,} values of curves; training {training:.0f} CPU s")
    say(f"exporter         {ours:6.2f} CPU s  {ours / training:7.2%} of training, {start:.2f} CPU s to start")
    say(f"a call a value   {theirs:6.2f} CPU s  {theirs / training:7.2%} of training")
    say(f"ratio            {theirs / ours:6.1f}")


def planned() -> Plan:
    """`sweeps/focal_ls.py` on the laptop recipe."""
    sweep, _ = load_sweep(Path("sweeps/focal_ls.py"))
    return plan(sweep, laptop().config, recipe="laptop", fingerprints={"data": "ab" * 32})


def epochs(the_plan: Plan) -> int:
    """Epochs of a trial."""
    return the_plan.trials[0].config.training.epochs


def exporter_cost(the_plan: Plan, where: Path) -> tuple[float, float]:
    """CPU seconds of the first look, and of all that follow until every trial is finished."""
    folder = SweepFolder(where / the_plan.folder_name)
    exporter = Exporter(f"sqlite:///{where / 'ours.db'}", the_plan, folder, "Does it help?")
    started = time.process_time()
    exporter.sync()
    start = time.process_time() - started
    spent = 0.0
    for trial in the_plan.trials:
        exporter.started(trial)
        for epoch in range(1, epochs(the_plan) + 1):
            folder.trial(trial.trial_id).write_history(history(epoch))
            exporter.epoch(trial, {})
            spent += cost_of_sync(exporter)
        finish(folder, trial)
        exporter.finished(trial, {})
        spent += cost_of_sync(exporter)
    return start, spent


def cost_of_sync(exporter: Exporter) -> float:
    """CPU seconds of one look."""
    started = time.process_time()
    exporter.sync()
    return time.process_time() - started


def peer_cost(the_plan: Plan, where: Path) -> float:
    """CPU seconds of the same runs and values, one call each."""
    mlflow.set_tracking_uri(f"sqlite:///{where / 'theirs.db'}")
    mlflow.set_experiment("peer")
    started = time.process_time()
    for trial in the_plan.trials:
        with mlflow.start_run(run_name=trial.title):
            mlflow.log_params({"arm": trial.arm, "seed": trial.seed, **trial.levers})
            for row in history(epochs(the_plan)):
                for key in CURVES:
                    mlflow.log_metric(key, row[key], step=int(row["epoch"]))
    return time.process_time() - started


def history(n_epochs: int) -> list[dict[str, float]]:
    """A trial's rows so far."""
    return [{"epoch": epoch, **dict.fromkeys(CURVES, 1.0 / epoch)} for epoch in range(1, n_epochs + 1)]


def finish(folder: SweepFolder, trial: Trial) -> None:
    """Leave what a finished trial leaves; the exporter does not read predictions."""
    files = folder.trial(trial.trial_id)
    for split in ("val", "test"):
        files.predictions(split).write_bytes(b"predictions")
    scores = {"top1": 0.7, "top3": 0.9, "balanced_accuracy": 0.6, "macro_f1": 0.6, "ece": 0.05, "nll": 0.9}
    manifest = {"scores": {"val": scores, "test": scores}, "seconds": 10.0, "commit": "0" * 40, "device": "cpu"}
    files.finish({"trial_id": trial.trial_id, **manifest})


if __name__ == "__main__":
    main()
