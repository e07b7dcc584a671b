"""A sweep whose trials leave what finished trials leave, and what MLflow then has of it."""

import sqlite3
from datetime import UTC, datetime

from dermtune.config import Config, DataConfig, ModelConfig, TrainingConfig
from dermtune.plan import Plan, Sweep, plan
from dermtune.tracking import views

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
