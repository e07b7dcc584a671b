"""A search whose points are scored at once, by a formula of their levers."""

import math

import optuna

from dermtune.journal import FILE, Journal
from dermtune.ledger import Pruned, SweepFolder
from tests.searches import EPOCHS, hill, searched


class Searching:
    """A search whose points are scored at once, without a worker."""

    def __init__(self, path, points=None, scores=hill):
        self.points, self.folder, self.scores = points or searched(), SweepFolder(path), scores

    def journal(self):
        return Journal(self.points, self.folder)

    def finish(self, trial):
        folder, scores = self.folder.trial(trial.trial_id), self.scores(trial.levers)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write_history([self.row(trial, epoch) for epoch in range(1, EPOCHS + 1)])
        for split in ("val", "test"):
            folder.predictions(split).write_bytes(b"predictions")
        folder.finish({"arm": trial.arm, "seed": trial.seed, "scores": {"val": scores, "test": {}}})

    def row(self, trial, epoch):
        return {"epoch": epoch, **{f"val_{k}": v * epoch / EPOCHS for k, v in self.scores(trial.levers).items()}}

    def prune(self, trial, epochs=2):
        folder = self.folder.trial(trial.trial_id)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write_history([self.row(trial, epoch) for epoch in range(1, epochs + 1)])
        folder.prune(Pruned(epochs=epochs, scores=self.scores(trial.levers)))

    def fail(self, trial):
        folder = self.folder.trial(trial.trial_id)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.fail("failed", "out of memory", "")

    def run(self, journal, n=math.inf):
        """Propose and finish points until there are `n` more, or all."""
        proposed = []
        while not journal.is_full and len(proposed) < n:
            trial = journal.propose()
            if not journal.settle(trial):
                self.finish(trial)
                journal.settle(trial)
            proposed.append(trial)
        return proposed

    def study(self):
        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(self.folder.search / FILE))
        )
        return optuna.load_study(study_name=None, storage=storage)


def levers_of(proposed):
    return [dict(trial.levers) for trial in proposed]
