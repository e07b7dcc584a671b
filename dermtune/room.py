"""Room on a sweep's disk: what is free, what the missing trials need, and whether an error came of the lack."""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermtune.causes import causes
from dermtune.ledger import SweepFolder

NOTHING_LEFT = 2**20
"""Bytes; a disk with less is full. What was half-written is still there when an error is asked about."""

FULL = (errno.ENOSPC, errno.EDQUOT)

PEAK = 1.5
"""Checkpoints that a trial has while it writes one, over those that it keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """On the disk of a sweep's folder, in bytes, measured on the trials that are there."""

    free: int
    kept: int
    """What the missing trials will leave; 0 before any is done."""
    under_way: int
    """What one trial needs for its checkpoints while it trains; 0 before any was written."""

    @property
    def is_short(self) -> bool:
        """Whether it is known that there is too little."""
        return self.free < self.kept + self.under_way

    def __str__(self) -> str:
        known = {"what is missing": self.kept, "a trial under way": self.under_way}
        needs = [f"{what} needs about {amount(n_bytes)}" for what, n_bytes in known.items() if n_bytes]
        return ", ".join([f"{amount(self.free)} free", *needs])


def lacks_room(error: BaseException, folder: Path) -> bool:
    """Whether the error came of a full disk or a spent quota.

    Rust and C++ libraries hide the number. safetensors has the system's words in its text; torch raises a
    RuntimeError about `unexpected pos 576 vs 534` or an `iostream error`, so then the disk is asked.
    """
    words = tuple(os.strerror(number) for number in FULL)
    said = any(getattr(e, "errno", None) in FULL or any(w in str(e) for w in words) for e in causes(error))
    return said or (isinstance(error, RuntimeError) and free(folder) < NOTHING_LEFT)


def free(folder: Path) -> int:
    """Bytes that this user can still write below the folder, which need not be there yet."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    disk = os.statvfs(there)
    return disk.f_bavail * disk.f_frsize


def room(folder: SweepFolder, done: Mapping[str, Mapping[str, Any]], n_missing: int) -> Room:
    """The room that there is, and that so many missing trials need; `done` are manifests by trial_id."""
    sizes = [_size(folder.trial(trial_id).path) for trial_id in done]
    checkpoints = [int(manifest.get("checkpoint_bytes") or 0) for manifest in done.values()]
    checkpoints += [_size(path) for path in folder.path.glob("trials/*/checkpoint")]
    return Room(
        free=free(folder.path),
        kept=round(n_missing * sum(sizes) / len(sizes)) if sizes else 0,
        under_way=round(PEAK * max(checkpoints, default=0)),
    )


def full_disk(error: BaseException, folder: Path) -> str:
    """Which disk is full, a clause; that of the sweep's folder, unless the error names a file elsewhere."""
    named = next((Path(e.filename) for e in causes(error) if isinstance(e, OSError) and e.filename), folder)
    if named.is_relative_to(folder):
        return f"the disk of {folder} is full"
    return f"the disk of {named.parent} is full"


def unwritten(error: OSError) -> str:
    """Why the driver could not go on, a clause."""
    if error.errno not in FULL or not error.filename:
        return str(error)
    where = Path(error.filename).parent
    return f"{full_disk(error, where)}: {amount(free(where))} free are too few"


def amount(n_bytes: float) -> str:
    """`640 kB`, `1.2 GB`."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes / 1000:.0f} kB"


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
