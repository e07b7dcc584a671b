"""Searches of any size, and workers that score a point by a formula of its levers instead of training it."""

import dataclasses
import json
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.distributions import FloatDistribution

from dermtune import tuner
from dermtune.config import Config, DataConfig, ModelConfig, TrainingConfig
from dermtune.data.place import Place
from dermtune.ledger import TrialFolder
from dermtune.plan import Search, Sweep, Trial
from dermtune.points import Points
from tests.tuner_workers import PLACE, Diary, Mishap, epochs_kept

SPACE = {"focal_gamma": FloatDistribution(0, 5), "label_smoothing": FloatDistribution(0, 0.5)}
EPOCHS = 4


def searched(
    *, space=SPACE, baseline=None, epochs=EPOCHS, metric="balanced_accuracy", guards=("top1",), **how: Any
) -> Points:
    """The points of a search of 6, of 4 epochs each, unless its arguments say otherwise."""
    sweep = Sweep(
        name="focal",
        baseline=baseline or dict.fromkeys(space, 0.0),
        first=Search(space=space, **{"n_points": 6, "confirm": 2, "grace_epochs": epochs, **how}),
        primary_metric=metric,
        guard_metrics=guards,
    )
    config = Config(
        data=DataConfig(), model=ModelConfig(architecture="siglip"), training=TrainingConfig(epochs=epochs)
    )
    return Points(sweep=sweep, config=config, fingerprints={"data": "abc"})


def hill(levers: Mapping[str, float]) -> dict[str, float]:
    """Balanced accuracy is best at a gamma of 2 and a smoothing of 0.1, top-1 at a gamma of 0."""
    gamma, smoothing = levers["focal_gamma"], levers["label_smoothing"]
    return {
        "balanced_accuracy": 0.8 - ((gamma - 2) / 5) ** 2 - (smoothing - 0.1) ** 2,
        "top1": 0.9 - gamma / 10,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Trains nothing: every epoch brings a trial nearer to the scores that its levers have."""

    diary: Diary
    scores: Callable[[Mapping[str, Any]], dict[str, float]] = hill
    seconds: float = 0.0
    """Of an epoch."""
    mishaps: Mapping[str, Mishap] = field(default_factory=dict)
    """By arm."""
    leaving_seconds: float = 0.0
    """What a trial that is pruned takes to leave, after an epoch."""

    def __call__(
        self, trial: Trial, place: Place, folder: TrialFolder, *, on_epoch: Callable[..., None], **how: Any
    ) -> Mapping[str, float]:
        self.diary.add("began", trial)
        with folder.metered(gpus=how["gpus"], usd_per_hour=how["usd_per_hour"]) as meter:
            folder.clear_failure()
            epochs = trial.config.training.epochs
            for epoch in range(epochs_kept(folder) + 1, epochs + 1):
                time.sleep(self.seconds)
                if trial.arm in self.mishaps:
                    self.mishaps[trial.arm](self.diary.attempts(trial), epoch)
                self.diary.add("epoch", trial)
                rows = [self._row(trial, e) for e in range(1, epoch + 1)]
                folder.checkpoint.mkdir(exist_ok=True)
                (folder.checkpoint / "epoch").write_text(str(epoch))
                meter.keep()
                folder.write_history(rows)
                self._tell(on_epoch, rows[-1])
            return self._seal(trial, folder)

    def _tell(self, on_epoch: Callable[..., None], row: Mapping[str, float]) -> None:
        try:
            on_epoch(row)
        except SystemExit:  # how Tune ends one
            time.sleep(self.leaving_seconds)
            raise

    def _row(self, trial: Trial, epoch: int) -> dict[str, float]:
        part = epoch / trial.config.training.epochs
        scores = {f"val_{name}": part * value for name, value in self.scores(trial.levers).items()}
        return {"epoch": float(epoch), "train_loss": 1 / epoch, "val_loss": 1 / epoch, **scores, "seconds": 36.0}

    def _seal(self, trial: Trial, folder: TrialFolder) -> Mapping[str, float]:
        scores = {"val": self.scores(trial.levers), "test": {"balanced_accuracy": 0.123}}
        for split in ("val", "test"):
            folder.predictions(split).write_bytes(b"predictions")
        folder.finish({"arm": trial.arm, "seed": trial.seed, "seconds": 1.0, "scores": scores})
        self.diary.add("sealed", trial)
        return scores["test"]


def drive(arguments: str) -> None:
    """A driver of its own: goes on with the pickled search on a Ray of its own and prints how it ended."""
    points, folder, scored = pickle.loads(Path(arguments).read_bytes())
    ending = tuner.search(points, folder, PLACE, execute=scored)
    print(json.dumps(dataclasses.asdict(ending)))  # noqa: T201 - the test reads it
