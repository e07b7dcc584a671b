"""What a sweep leaves on disk: trial folders, done markers, checkpoints, and the lock of its one driver."""

import contextlib
import csv
import fcntl
import hashlib
import io
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from dermtune.config import UserError
from dermtune.plan import Plan, Trial

SEALED = ("val.parquet", "test.parquet", "history.csv")
"""Files of a trial whose hashes its manifest holds."""

FailureStatus = Literal["failed", "diverged"]


class Diverged(ArithmeticError):
    """The training loss is no longer a number."""


class LedgerError(UserError):
    """A sweep's folder that cannot be used now; the message says why and what to do."""


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
            return manifest["status"] == "done" and all(_sha256(self.path / name) == files[name] for name in SEALED)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def has_model(self) -> bool:
        """Whether the trained model is there and every file of it still has its hash."""
        try:
            files = self.manifest().get("model") or {}
            return bool(files) and all(_sha256(self.model / name) == files[name] for name in files)
        except (OSError, ValueError, TypeError):
            return False

    def drop_model(self) -> None:
        """Remove the trained model; the manifest keeps its hashes."""
        shutil.rmtree(self.model, ignore_errors=True)

    def manifest(self) -> dict[str, Any]:
        """What `finish` wrote. Raises FileNotFoundError before, ValueError where it is no JSON object."""
        return _read_json(self.path / "manifest.json")

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
        _write_atomically(self.history, text.getvalue())

    def _history_rows(self) -> list[dict[str, str]]:
        try:
            with self.history.open(newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
        except FileNotFoundError:
            return []

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Seal the trial: its files' hashes and the manifest, written last; then the checkpoints may go."""
        files = {name: _sha256(self.path / name) for name in SEALED}
        model = {path.name: _sha256(path) for path in sorted(self.model.glob("*"))}
        sealed = {"files": files, "model": model} if model else {"files": files}
        _write_json(self.path / "manifest.json", {"format": 1, "status": "done", **manifest, **sealed})
        self.clear_failure()
        if self.checkpoint.exists():
            shutil.rmtree(self.checkpoint)

    def fail(self, status: FailureStatus, reason: str, detail: str) -> None:
        """Record why the trial has no result: one line, and the traceback as `detail`."""
        _write_json(self.path / "failure.json", {"status": status, "reason": reason, "detail": detail})

    def failure(self) -> str | None:
        """Reason of the last failure; None where there was none."""
        try:
            return str(_read_json(self.path / "failure.json")["reason"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError) as error:
            return f"unknown, {self.path / 'failure.json'} cannot be read: {error}"

    def clear_failure(self) -> None:
        """Forget the last failure: the trial is tried again."""
        (self.path / "failure.json").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _EarlierPlan:
    """What the `sweep.json` that is there says; nothing where there is none."""

    trials: Sequence[dict[str, Any]] = ()
    """Each with its trial_id, arm and seed."""
    looks: Sequence[int] = ()
    """Numbers of seeds at which it declares that results are looked at."""
    looks_taken: Sequence[int] = ()
    """Numbers of seeds of the reports before it."""


@dataclass(frozen=True, slots=True)
class SweepFolder:
    """One sweep's folder: what was asked in `sweep.json`, the trials, the report."""

    path: Path

    @property
    def report(self) -> Path:
        """Folder of the report's files."""
        return self.path / "report"

    def trial(self, trial_id: str) -> TrialFolder:
        """A trial's folder, whether it exists or not."""
        return TrialFolder(self.path / "trials" / trial_id)

    def done(self, trials: Iterable[Trial]) -> dict[str, dict[str, Any]]:
        """Manifests of those trials that are done, by trial_id."""
        folders = {t.trial_id: self.trial(t.trial_id) for t in trials}
        return {trial_id: folder.manifest() for trial_id, folder in folders.items() if folder.is_done()}

    def write_plan(self, plan: Plan, question: str) -> int:
        """Number of done trials that the plan leaves unused, after `sweep.json` is written for it.

        A done trial with a further seed of the same configuration stays in it, so asking for fewer seeds hides
        nothing. A report on fewer seeds stays known as well, as a look that was taken. Where the configuration is
        another one, the new plan takes the old one's place.
        """
        asked = {**plan.to_dict(), "question": question}
        before = self._earlier_plan()
        earlier = [t for t in before.trials if self.trial(t["trial_id"]).is_done()]
        shared = _shared(earlier, asked)
        further = _further_seeds(earlier, shared, asked)
        taken = self._looks_taken(before) if shared else set()
        asked["trials"] += further
        asked["seeds"] = list(dict.fromkeys([*asked["seeds"], *(t["seed"] for t in further)]))
        asked["looks_taken"] = sorted(n for n in taken if n < len(asked["seeds"]))
        _write_json(self.path / "sweep.json", asked)
        listed = {t["trial_id"] for t in asked["trials"]}
        return sum(t["trial_id"] not in listed for t in earlier)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """The folder for this process alone; the lock of a driver that died is free by itself.

        Raises LedgerError, naming the driver that has it, or where the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / "driver.lock").open("a+")
        except OSError as error:
            raise LedgerError(f"{self.path} must be a folder that can be written: {error}") from None
        with file:
            _take(file, self.path)
            try:
                yield
            finally:
                file.truncate(0)

    def _earlier_plan(self) -> _EarlierPlan:
        path = self.path / "sweep.json"
        try:
            asked = _read_json(path)
            return _EarlierPlan(
                trials=[{key: t[key] for key in ("trial_id", "arm", "seed")} for t in asked["trials"]],
                looks=[int(n) for n in asked.get("looks", ())],
                looks_taken=[int(n) for n in asked.get("looks_taken", ())],
            )
        except FileNotFoundError:
            return _EarlierPlan()
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(f"{path} must hold what was asked: {error}; move it away to start anew") from None

    def _looks_taken(self, before: _EarlierPlan) -> set[int]:
        """Numbers of seeds at which results were judged; a report before the first declared look judged nothing."""
        reported = self._seeds_reported()
        return {*before.looks_taken, *([reported] if reported >= min(before.looks, default=1) else ())}

    def _seeds_reported(self) -> int:
        """The most seeds of an arm in the report that is there; 0 where there is none."""
        path = self.report / "report.json"
        try:
            return max(int(arm["n_seeds"]) for arm in _read_json(path)["arms"])
        except FileNotFoundError:
            return 0
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(
                f"{path} must be the last report, which says how many seeds it judged: {error}; "
                "move it away if it was never read"
            ) from None


def _shared(earlier: list[dict[str, Any]], asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The earlier trials that are asked for again; none if the plans disagree on any: the question is another."""
    ids = {(t["arm"], t["seed"]): t["trial_id"] for t in asked["trials"]}
    shared = [t for t in earlier if (t["arm"], t["seed"]) in ids]
    return shared if all(t["trial_id"] == ids[t["arm"], t["seed"]] for t in shared) else []


def _further_seeds(
    earlier: list[dict[str, Any]], shared: list[dict[str, Any]], asked: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The earlier trials with seeds beyond those asked, of arms that are asked for again."""
    arms = {t["arm"] for t in shared}
    return [t for t in earlier if t["arm"] in arms and t["seed"] not in asked["seeds"]]


def _take(file: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise LedgerError(f"{folder} must have one driver, {_driver(file.read())} runs it already") from None
    file.truncate(0)
    json.dump({"pid": os.getpid(), "host": platform.node()}, file)
    file.flush()


def _driver(text: str) -> str:
    try:
        driver = json.loads(text)
        return f"process {driver['pid']} on {driver['host']}"
    except (ValueError, KeyError):
        return "another process"


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _write_atomically(path: Path, text: str) -> None:
    """Write to a neighbour, wait until it is on the disk, rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Wait until the folder's entries are on the disk: a rename counts only then."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"must be a JSON object, got {type(content).__name__}")
    return content


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
