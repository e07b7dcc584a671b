"""What a start sets right in a sweep's folder before it goes on: damaged trials, and what dead writers left."""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dermtune.durable import sync_folder
from dermtune.ledger.lock import LedgerError
from dermtune.ledger.meter import closed, write_attempts
from dermtune.ledger.sweep import SweepFolder

_PARTIAL = re.compile(r"\..+[.-]\d+")
"""A neighbour that a writer was killed beside: `.manifest.json.host-1234`."""
_OURS = ("trials", "report")
"""Folders that nobody else writes to."""


def damaged(folder: SweepFolder) -> dict[str, str]:
    """What is wrong with each trial that was done and is no longer whole, a clause, by trial_id.

    Raises OSError where a file is there and cannot be read.
    """
    found = {path.name: _damage(folder, path.name) for path in sorted((folder.path / "trials").glob("*"))}
    return {trial_id: why for trial_id, why in found.items() if why is not None}


def set_aside(folder: SweepFolder, trial_id: str) -> Path:
    """Where the damaged trial's folder is now; nothing of it is lost, and what it cost stays with the trial.

    Only for the driver that holds the lock.
    """
    trial, place = folder.trial(trial_id), _free_place(folder.path / "damaged", trial_id)
    attempts = None
    with suppress(LedgerError):
        attempts = closed(trial.attempts(), kept=False)
    place.parent.mkdir(exist_ok=True)
    trial.path.rename(place)
    if attempts:
        write_attempts(trial.attempts_file, attempts)
    for changed in (place.parent, trial.path.parent):
        sync_folder(changed)
    return place


def leftovers(folder: SweepFolder) -> list[Path]:
    """Files and folders that a writer was killed beside, before it could put them in their place."""
    inside = (path for name in _OURS for path in (folder.path / name).rglob(".*"))
    return sorted(path for path in (*folder.path.glob(".*"), *inside) if _is_partial(path))


def tidy(folder: SweepFolder) -> None:
    """Remove what dead writers left; a report that was cut off while it was replaced is put back.

    Only for the driver that holds the lock.
    """
    for report in _replaced_reports(folder):
        if not folder.report.exists():
            report.rename(folder.report)
    for path in leftovers(folder):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _damage(folder: SweepFolder, trial_id: str) -> str | None:
    trial = folder.trial(trial_id)
    if (why := trial.damage()) is not None or not trial.is_done():
        return why
    named = trial.manifest().get("trial_id", trial_id)
    return None if named == trial_id else f"manifest.json is that of trial {named}"


def _free_place(damaged: Path, trial_id: str) -> Path:
    taken = {path.name for path in damaged.glob(f"{trial_id}-*")}
    return next(damaged / name for n in range(1, len(taken) + 2) if (name := f"{trial_id}-{n}") not in taken)


def _replaced_reports(folder: SweepFolder) -> Iterator[Path]:
    return folder.path.glob(".report-*.old")


def _is_partial(path: Path) -> bool:
    if path.is_dir():
        return path.name.startswith((".report-", ".tune-"))
    return _PARTIAL.fullmatch(path.name) is not None
