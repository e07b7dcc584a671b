"""What the workers of a tested sweep do: leave a trial's folder as training would, and note who ran what when."""

import dataclasses
import json
import os
import pickle
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray

from dermtune import tuner
from dermtune.data.place import Place
from dermtune.ledger import Diverged, TrialFolder
from dermtune.plan import Trial
from tests.plans import EPOCHS

PLACE = Place(data_dir=Path("no-data"), cache_dir=Path("no-cache"))

Mishap = Callable[[int, int], None]
"""Called with the numbers of attempt and epoch, from 1, before an epoch is kept, and once after the seal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One line of the diary."""

    what: str
    """`began`, `epoch`, `sealed`."""
    trial: str
    """Its title."""
    pid: int
    node: str
    at: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Diary:
    """A file that all workers append to."""

    path: Path

    def add(self, what: str, trial: Trial) -> None:
        node = ray.get_runtime_context().get_node_id()
        note = {"what": what, "trial": trial.title, "pid": os.getpid(), "node": node, "at": time.time()}
        with self.path.open("a") as file:
            file.write(json.dumps(note) + "\n")

    def notes(self, what: str = "began") -> list[Note]:
        if not self.path.exists():
            return []
        notes = [Note(**json.loads(line)) for line in self.path.read_text().splitlines()]
        return [note for note in notes if note.what == what]

    def attempts(self, trial: Trial) -> int:
        return sum(note.trial == trial.title for note in self.notes())


@dataclass(frozen=True, slots=True, kw_only=True)
class Fake:
    """Trains nothing, but leaves folder, checkpoint and history as `dermtune.execution.execute` does."""

    diary: Diary
    epochs: int = EPOCHS
    seconds: float = 0.0
    """Of an epoch."""
    mishaps: Mapping[str, Mishap] = field(default_factory=dict)
    """By the trial's title."""
    company: int = 1
    """Nobody trains before so many have begun."""

    def __call__(
        self, trial: Trial, place: Place, folder: TrialFolder, *, on_epoch: Callable[..., None], **_: Any
    ) -> Mapping[str, float]:
        self.diary.add("began", trial)
        folder.clear_failure()
        self._wait_for_company()
        for epoch in range(epochs_kept(folder) + 1, self.epochs + 1):
            time.sleep(self.seconds)
            self._meet_mishap(trial, epoch)
            self.diary.add("epoch", trial)
            folder.write_history([{"epoch": e, "train_loss": 1 / e, "seconds": 36.0} for e in range(1, epoch + 1)])
            folder.checkpoint.mkdir(exist_ok=True)
            (folder.checkpoint / "epoch").write_text(str(epoch))
            on_epoch({"epoch": epoch, "train_loss": 1 / epoch})
        scores = seal(folder, trial, seconds=36.0 * self.epochs)
        self.diary.add("sealed", trial)
        self._meet_mishap(trial, self.epochs + 1)
        return scores

    def _meet_mishap(self, trial: Trial, epoch: int) -> None:
        if trial.title in self.mishaps:
            self.mishaps[trial.title](self.diary.attempts(trial), epoch)

    def _wait_for_company(self) -> None:
        deadline = time.monotonic() + 60
        while self.company > 1 and len(self.diary.notes()) < self.company:
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {len(self.diary.notes())} of {self.company} trials began")
            time.sleep(0.02)


def epochs_kept(folder: TrialFolder) -> int:
    kept = folder.checkpoint / "epoch"
    return int(kept.read_text()) if kept.exists() else 0


def seal(folder: TrialFolder, trial: Trial, *, seconds: float) -> dict[str, float]:
    scores = {"balanced_accuracy": 0.6 + 0.01 * trial.seed}
    for split in ("val", "test"):
        folder.predictions(split).write_bytes(b"predictions")
    folder.finish({"arm": trial.arm, "seed": trial.seed, "seconds": seconds, "scores": {"test": scores}})
    return scores


def refuse(attempt: int, epoch: int) -> None:
    raise ValueError("an image must have three channels,\n  got 4")


def diverge(attempt: int, epoch: int) -> None:
    raise Diverged(f"train_loss is NaN in epoch {epoch}")


def die(attempt: int, epoch: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(attempt: int, epoch: int) -> None:
    if (attempt, epoch) == (1, 2):
        die(attempt, epoch)


def die_sealed(attempt: int, epoch: int) -> None:
    if epoch == EPOCHS + 1:
        die(attempt, epoch)


def drive(arguments: str) -> None:
    """A driver of its own: runs the pickled trials on a Ray of its own and prints how they ended."""
    trials, folder, fake = pickle.loads(Path(arguments).read_bytes())
    ending = tuner.run(trials, folder, PLACE, execute=fake)
    print(json.dumps(dataclasses.asdict(ending)))  # noqa: T201 - the test reads it


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeTogether:
    """Trains nothing, but leaves the folders of a bundle as `dermtune.execution.execute_together` does."""

    diary: Diary
    diverging: str = ""
    """Title of the trial that diverges."""
    killed_after: int = 0
    """Its first worker dies once so many of its trials have ended; 0 is never."""

    def __call__(
        self,
        trials: Sequence[Trial],
        place: Place,
        folders: Mapping[str, TrialFolder],
        *,
        on_epoch: Callable[..., None],
        on_end: Callable[..., None],
        **_: Any,
    ) -> None:
        for trial in trials:
            self.diary.add("began", trial)
        on_epoch({trial.trial_id: {"epoch": 1, "train_loss": 1.0} for trial in trials})
        for n_ended, trial in enumerate(trials, start=1):
            if trial.title == self.diverging:
                on_end(trial, Diverged("training loss is nan in epoch 2"))
            else:
                folders[trial.trial_id].write_history([{"epoch": 1, "train_loss": 1.0}])
                on_end(trial, seal(folders[trial.trial_id], trial, seconds=1.0))
            if n_ended == self.killed_after and self.diary.attempts(trials[-1]) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
