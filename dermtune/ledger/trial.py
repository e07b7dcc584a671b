"""One trial on disk: predictions, history, checkpoints, and the manifest that says it is done."""

import contextlib
import csv
import io
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from dermtune.durable import read_json, sha256, sha256_since_changed, sync_file, write_json, write_text
from dermtune.ledger.lock import LedgerError
from dermtune.ledger.meter import Attempt, Ended, Meter, closed, read_attempts, unmetered

SEALED = ("val.parquet", "test.parquet", "history.csv")
"""Files of a trial whose hashes its manifest holds."""

FailureStatus = Literal["failed", "diverged"]


class Diverged(ArithmeticError):
    """The training loss is no longer a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How far a trial came that a search has stopped early."""

    epochs: int
    """Epochs trained."""
    scores: Mapping[str, float]
    """On val, after the last of them, as fractions."""


@dataclass(frozen=True, slots=True)
class TrialFolder:
    """One trial's files. It is done when its manifest is there and the hashes in it hold."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """Folder of the epoch checkpoints; gone once the trial is done."""
        return self.path / "checkpoint"

    @property
    def model(self) -> Path:
        """Folder of the trained model, where it was asked for; gone at the sweep's end but for the best trial's."""
        return self.path / "model"

    @property
    def history(self) -> Path:
        """One row an epoch, CSV."""
        return self.path / "history.csv"

    def predictions(self, split: str) -> Path:
        """The prediction file of a split."""
        return self.path / f"{split}.parquet"

    def is_done(self) -> bool:
        """Whether the manifest says so and every sealed file still has its hash."""
        try:
            return (self.path / "manifest.json").exists() and self.damage() is None
        except OSError:
            return False

    def damage(self) -> str | None:
        """What is wrong with a trial that was done, a clause; None where nothing is, and where it never was done.

        Raises OSError where a file is there and cannot be read: that says nothing about the trial.
        """
        try:
            manifest = self.manifest()
        except FileNotFoundError:
            return None
        except ValueError as error:
            return f"manifest.json cannot be read: {error}"
        sealed = manifest.get("files")
        if manifest.get("status") != "done" or not isinstance(sealed, dict):
            return "manifest.json has no hashes of the trial's files"
        return "; ".join(filter(None, (self._change(name, sealed.get(name)) for name in SEALED))) or None

    def _change(self, name: str, sealed: object) -> str | None:
        """What has become of a file since it was sealed; None where it is the same."""
        try:
            there = sha256_since_changed(self.path / name)
            return None if there == sealed else f"{name} is not what the manifest sealed"
        except FileNotFoundError:
            return f"{name} is gone"

    def has_model(self) -> bool:
        """Whether the trained model is there and every file of it still has its hash."""
        try:
            files = self.manifest().get("model") or {}
            return bool(files) and all(sha256(self.model / name) == files[name] for name in files)
        except (OSError, ValueError, TypeError):
            return False

    def drop_model(self) -> None:
        """Remove the trained model; the manifest keeps its hashes."""
        shutil.rmtree(self.model, ignore_errors=True)

    def manifest(self) -> dict[str, Any]:
        """What `finish` wrote. Raises FileNotFoundError before, ValueError where it is no JSON object."""
        return read_json(self.path / "manifest.json")

    @property
    def attempts_file(self) -> Path:
        """What each attempt at the trial took, JSON."""
        return self.path / "attempts.json"

    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt at the trial, oldest first, those that came to nothing among them.

        Of a folder from before they were metered it is one attempt that took what the manifest says, or the epochs
        that are kept. Raises LedgerError where `attempts.json` is damaged.
        """
        with contextlib.suppress(FileNotFoundError):
            return read_attempts(self.attempts_file)
        with contextlib.suppress(OSError, ValueError):
            return unmetered(self.manifest(), ended="done")
        return unmetered({"seconds": self._history_seconds()}, ended="interrupted")

    def seconds(self) -> float:
        """What all attempts took, to within a beat of the meter where a worker was killed; 0 before the first."""
        return sum(attempt.seconds for attempt in self.attempts())

    def epochs_kept(self) -> int:
        """Epochs that the next attempt need not train again."""
        return len(self.history_rows()) if self._has_checkpoint() else 0

    @contextlib.contextmanager
    def metered(self, *, gpus: float, usd_per_hour: float | None, share: float = 1.0) -> Iterator[Meter]:
        """The running meter of one more attempt; whatever ends the block, `attempts.json` says how and when.

        `share` is the trial's part of the time, where it is trained together with others.
        """
        earlier = closed(self.attempts(), kept=self._has_checkpoint())
        clock = partial(_share_of_time, share)
        meter = Meter(self.attempts_file, earlier, gpus=gpus, usd_per_hour=usd_per_hour, clock=clock)
        ended: Ended = "interrupted"
        try:
            yield meter
            ended = "done"
        except Diverged:
            ended = "diverged"
            raise
        except Exception:
            ended = "failed"
            raise
        finally:
            meter.end(ended)

    def prune(self, pruned: Pruned) -> None:
        """Record that a search has stopped the trial early: it is not trained further, so its checkpoints go."""
        write_json(self._pruned_file, {"format": 1, **asdict(pruned)})
        shutil.rmtree(self.checkpoint, ignore_errors=True)

    def pruned(self) -> Pruned | None:
        """How far the trial came that a search has stopped early; None of any other.

        Raises LedgerError where `pruned.json` is damaged.
        """
        try:
            plain = read_json(self._pruned_file)
            return Pruned(epochs=int(plain["epochs"]), scores=dict(plain["scores"]))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LedgerError(
                f"{self._pruned_file} must say how far the trial came: {error}; move it away to train it whole"
            ) from None

    @property
    def _pruned_file(self) -> Path:
        return self.path / "pruned.json"

    def write_history(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Write all rows, whole or not at all; a column that a row lacks is left empty."""
        columns = list(dict.fromkeys(column for row in rows for column in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.history, text.getvalue())

    def _has_checkpoint(self) -> bool:
        return self.checkpoint.is_dir() and any(self.checkpoint.iterdir())

    def _history_seconds(self) -> float:
        return sum(float(row.get("seconds") or 0.0) for row in self.history_rows())

    def history_rows(self) -> list[dict[str, str]]:
        """The history's rows as they were written, one an epoch; none before the first."""
        try:
            with self.history.open(newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def note(self, what: str) -> None:
        """Keep what went wrong and was got over, for the manifest."""
        write_json(self._notices_file, {"notices": [*self.notices(), what]})

    def notices(self) -> tuple[str, ...]:
        """What went wrong in any attempt and was got over, oldest first."""
        try:
            return tuple(read_json(self._notices_file)["notices"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return ()

    @property
    def _notices_file(self) -> Path:
        return self.path / "notices.json"

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Seal the trial: its files' hashes and the manifest, written last; then the checkpoints may go."""
        files = {name: sha256(self.path / name) for name in SEALED}
        model = {path.name: _sealed(path) for path in sorted(self.model.glob("*"))}
        sealed = {"files": files, "model": model} if model else {"files": files}
        checkpoint_bytes = sum(path.stat().st_size for path in self.checkpoint.rglob("*") if path.is_file())
        more = {"notices": list(self.notices()), "checkpoint_bytes": checkpoint_bytes}
        about = {"format": 1, "status": "done", **manifest, **more}
        self._seal({**about, **sealed})

    def adopt(self, manifest: Mapping[str, Any]) -> None:
        """Seal the trial with the manifest of a folder elsewhere, whose files are here.

        What was noted here stands in it as well. Raises ValueError where a file is not the one that was sealed.
        """
        sealed = manifest["files"]
        if wrong := next(filter(None, (self._change(name, sealed.get(name)) for name in SEALED)), None):
            raise ValueError(f"{self.path}: {wrong}")
        self._seal({**manifest, "notices": list(dict.fromkeys([*self.notices(), *manifest["notices"]]))})

    def _seal(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, and remove what only a trial has that is not done."""
        write_json(self.path / "manifest.json", manifest)
        self.clear_failure()
        self._notices_file.unlink(missing_ok=True)
        self._pruned_file.unlink(missing_ok=True)  # another question has trained it whole
        if self.checkpoint.exists():
            shutil.rmtree(self.checkpoint)

    def fail(self, status: FailureStatus, reason: str, detail: str) -> None:
        """Record why the trial has no result: one line, and the traceback as `detail`."""
        write_json(self.path / "failure.json", {"status": status, "reason": reason, "detail": detail})

    def failure(self) -> str | None:
        """Reason of the last failure; None where there was none."""
        try:
            return str(read_json(self.path / "failure.json")["reason"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError) as error:
            return f"unknown, {self.path / 'failure.json'} cannot be read: {error}"

    def clear_failure(self) -> None:
        """Forget the last failure: the trial is tried again."""
        (self.path / "failure.json").unlink(missing_ok=True)


def _share_of_time(share: float) -> float:
    return share * time.monotonic()


def _sealed(path: Path) -> str:
    """The hash of a file that another library wrote, which is on the disk then."""
    sync_file(path)
    return sha256(path)
