"""Sweeps of any size that nobody trained, on disk as the project's own writers leave them."""

import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from analysis.metrics import overall_scores
from analysis.predictions import Predictions, write_predictions
from dermtune.data.dataset import open_dataset
from dermtune.data.place import Place
from dermtune.ledger import Attempt, SweepFolder, TrialFolder, bill
from dermtune.ledger.meter import write_attempts
from dermtune.loading import load_recipe, load_sweep
from dermtune.opened import fingerprints
from dermtune.origin import origin
from dermtune.plan import Plan, Trial, plan
from tests.finished_sweep import long_tail
from tests.tiny_sweep import RECIPE

LEVELS = 5
"""Of label smoothing; focal loss has as many as the arms need."""
EPOCHS = 12
"""Rows of a history, as many as the laptop recipe trains."""
CURVES = ("train_loss", "learning_rate", "images_per_second", "val_loss", "val_top1", "val_balanced_accuracy")

QUESTION = '''"""What do focal loss and label smoothing do, at every level of both?"""

from dermtune.plan import Sweep


def sweep():
    return Sweep(
        name="scale",
        grid={{"focal_gamma": tuple(i / 16 for i in range({gammas}))}}
        | {{"label_smoothing": tuple(i / 64 for i in range({smoothings}))}},
        baseline={{"focal_gamma": 0.0, "label_smoothing": 0.0}},
        seeds=range({seeds}),
    )
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A sweep's size."""

    arms: int
    seeds: int
    images: int
    """Of test, and as many of val; each twice, for its mirror image is predicted too."""
    classes: int

    @property
    def trials(self) -> int:
        """How many there are."""
        return self.arms * self.seeds

    def __str__(self) -> str:
        return f"{self.arms} arms x {self.seeds} seeds x {self.images:,} images x {self.classes} classes"


@dataclass(frozen=True)
class Sweep:
    """A sweep's files and commands in a working directory of its own; its data are drawn once for all."""

    here: Path
    size: Size

    @cached_property
    def plan(self) -> Plan:
        """The plan, by the files that the command is given."""
        asked, _ = load_sweep(self.here / "question.py")
        recipe = load_recipe(str(self.here / "recipe.py"))
        place = Place(data_dir=self.data, cache_dir=self.here.parent / "cache")
        on = fingerprints(recipe.config, open_dataset(recipe.config.data, place))
        return plan(asked, recipe.config, recipe=recipe.name, fingerprints=on)

    @property
    def data(self) -> Path:
        """Drawn images, the same for every sweep: what is measured is what trials leave, not what they read."""
        return self.here.parent / "data"

    @property
    def folder(self) -> SweepFolder:
        """What the trials leave."""
        return SweepFolder(self.here / "runs" / self.plan.folder_name)

    @property
    def command(self) -> list[str]:
        """What follows `python -m dermtune.sweep`."""
        return ["question.py", "--recipe", "recipe.py", "--data", str(self.data)]

    @property
    def environment(self) -> Mapping[str, str]:
        """Of the command."""
        ours = {"DERMTUNE_CACHE": str(self.here.parent / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
        return {**os.environ, **ours, "COLUMNS": "120"}

    def bytes(self) -> dict[str, int]:
        """What each kind of file takes, by its name."""
        found: dict[str, int] = {}
        for path in self.folder.path.rglob("*"):
            if path.is_file():
                found[path.name] = found.get(path.name, 0) + path.stat().st_size
        return found


def asked(here: Path, size: Size) -> Sweep:
    """The sweep with its question and recipe, and no trial yet."""
    here.mkdir(parents=True)
    levels = math.gcd(LEVELS, size.arms)
    text = QUESTION.format(gammas=size.arms // levels, smoothings=levels, seeds=size.seeds)
    (here / "question.py").write_text(text)
    (here / "recipe.py").write_text(RECIPE)
    return Sweep(here=here, size=size)


def done(here: Path, size: Size) -> Sweep:
    """The sweep with every trial done, and `sweep.json`."""
    sweep = asked(here, size)
    test, val = (_Split(name, size) for name in ("test", "val"))
    for number, trial in enumerate(sweep.plan.trials):
        folder = sweep.folder.trial(trial.trial_id)
        drawn = {split.name: split.predictions(trial, number) for split in (test, val)}
        _finish(folder, trial, drawn)
    sweep.folder.write_plan(sweep.plan, "What do focal loss and label smoothing do, at every level of both?")
    return sweep


class _Split:
    """The images of a split, and what runs say of them."""

    def __init__(self, name: str, size: Size) -> None:
        sizes = long_tail(size.images, size.classes, rarest=max(2, size.images // (20 * size.classes)))
        self.name = name
        self._label = np.repeat(np.arange(size.classes), sizes).astype(np.int16)
        self._classes = tuple(f"class {k}" for k in range(size.classes))
        rng = np.random.default_rng(len(name))
        self._hard = rng.normal(0, 1.5, (size.images, size.classes)).astype(np.float32)
        self._hard[np.arange(size.images), self._label] += 1.5
        self._samples = np.array([f"{name}-{i:08d}" for i in range(size.images)])
        self._groups = np.array([f"{name}-{k}-{i // 2:08d}" for i, k in enumerate(self._label)])

    def predictions(self, trial: Trial, number: int) -> Predictions:
        """What the trial says of them: how hard each image is, and what this run adds."""
        rng = np.random.default_rng(number)
        noise = rng.standard_normal(self._hard.shape, dtype=np.float32)
        return Predictions(
            arm=trial.arm,
            seed=trial.seed,
            split=self.name,
            trial_id=trial.trial_id,
            classes=self._classes,
            sample_id=self._samples,
            group_id=self._groups,
            label=self._label,
            logits=self._hard + 0.3 * noise,
            logits_hflip=self._hard - 0.3 * noise,
        )


def _finish(folder: TrialFolder, trial: Trial, drawn: Mapping[str, Predictions]) -> None:
    """Write and seal what the trial leaves, as `dermtune.execution` does."""
    folder.path.mkdir(parents=True)
    folder.write_history(list(_history()))
    for split, predictions in drawn.items():
        write_predictions(folder.predictions(split), predictions)
    attempts = [
        Attempt(
            started="2026-01-01T00:00:00+00:00",
            seconds=60.0,
            kept_seconds=60.0,
            gpus=1.0,
            usd_per_hour=2.0,
            ended="done",
        )
    ]
    write_attempts(folder.attempts_file, attempts)
    about = {
        "trial_id": trial.trial_id,
        "arm": trial.arm,
        "levers": dict(trial.levers),
        "seed": trial.seed,
        "config": trial.config.to_dict(),
        "fingerprints": dict(trial.fingerprints),
        "quarantine": {},
        "scores": {split: dict(overall_scores(p.label, p.probabilities)) for split, p in drawn.items()},
    }
    made_on = {**origin(), "device": "cpu", "threads": 1, "gpus": 1.0}
    folder.finish({**about, **made_on, **bill(attempts), "finished": "2026-01-01T00:01:00+00:00"})


def _history() -> Iterator[dict[str, float]]:
    for epoch in range(1, EPOCHS + 1):
        yield {"epoch": epoch, "seconds": 5.0, **dict.fromkeys(CURVES, 1 / epoch)}
