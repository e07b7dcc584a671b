"""One trial on disk: predictions, history, checkpoints, and the manifest that says it is done."""

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dermtune.durable import read_json, sha256, write_json, write_text

SEALED = ("val.parquet", "test.parquet", "history.csv")
"""Files of a trial whose hashes its manifest holds."""

FailureStatus = Literal["failed", "diverged"]


class Diverged(ArithmeticError):
    """The training loss is no longer a number."""


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
            manifest = self.manifest()
            files = manifest["files"]
            return manifest["status"] == "done" and all(sha256(self.path / name) == files[name] for name in SEALED)
        except (OSError, ValueError, KeyError, TypeError):
            return False

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

    def seconds(self) -> float:
        """Training time so far: what the manifest says, or the sum over the epochs that are kept; 0 before."""
        try:
            return float(self.manifest().get("seconds") or 0.0)
        except FileNotFoundError:
            return sum(float(row.get("seconds") or 0.0) for row in self._history_rows())

    def write_history(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Write all rows, whole or not at all; a column that a row lacks is left empty."""
        columns = list(dict.fromkeys(column for row in rows for column in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.history, text.getvalue())

    def _history_rows(self) -> list[dict[str, str]]:
        try:
            with self.history.open(newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
        except FileNotFoundError:
            return []

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Seal the trial: its files' hashes and the manifest, written last; then the checkpoints may go."""
        files = {name: sha256(self.path / name) for name in SEALED}
        model = {path.name: sha256(path) for path in sorted(self.model.glob("*"))}
        sealed = {"files": files, "model": model} if model else {"files": files}
        write_json(self.path / "manifest.json", {"format": 1, "status": "done", **manifest, **sealed})
        self.clear_failure()
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
