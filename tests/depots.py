"""Trials that leave on a node what training would, and a storage in which it is altered or goes away."""

import contextlib
from pathlib import Path

from dermtune.checkpoints import seal
from dermtune.depot import DepotError, Store
from dermtune.ledger import SweepFolder

TRIAL = "0123456789abcdef"
SCORES = {"test": {"balanced_accuracy": 0.5}, "val": {"balanced_accuracy": 0.4}}


def on_node(tmp_path, name, trial_id=TRIAL):
    """The trial's folder on a node of that name."""
    folder = SweepFolder(tmp_path / name).trial(trial_id)
    folder.path.mkdir(parents=True, exist_ok=True)
    return folder


def trained(folder, *steps):
    """Checkpoints after these steps, a row of the history each."""
    for step in steps:
        checkpoint = folder.checkpoint / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "model.safetensors").write_bytes(b"weights" * step)
        seal(checkpoint)
    folder.write_history([{"epoch": epoch, "seconds": 36.0} for epoch, _ in enumerate(steps, start=1)])
    return folder


def finished(folder):
    for split in ("val", "test"):
        folder.predictions(split).write_bytes(split.encode())
    folder.finish({"trial_id": TRIAL, "scores": SCORES})
    return folder


def files_of(depot):
    """Every file in the storage."""
    return [path for path in Path(depot.store.uri.removeprefix("file://")).rglob("*") if path.is_file()]


def damage(depot, name):
    """Alter every file of that name in the storage."""
    for path in files_of(depot):
        if path.name == name:
            path.write_bytes(b"other")


@contextlib.contextmanager
def away_for(monkeypatch, *names):
    """In this block the storage is away as soon as a file of these names is asked for."""

    def away_or(ask):
        def answer(store, asked, *args, **options):
            if asked.rpartition("/")[2] in names:
                raise DepotError("it is away")
            return ask(store, asked, *args, **options)

        return answer

    with monkeypatch.context() as patched:
        patched.setattr(Store, "fetch", away_or(Store.fetch))
        patched.setattr(Store, "read", away_or(Store.read))
        yield
