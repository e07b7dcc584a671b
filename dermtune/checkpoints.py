"""Epoch checkpoints that count only when they are whole: a seal of hashes is written last and checked first."""

import contextlib
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from dermtune.config import UserError
from dermtune.durable import read_json, sha256, sync_file, sync_folder, write_json

SEAL = "sealed.json"


class CheckpointError(UserError):
    """A checkpoint that must not be used; the message says why and what to do."""


def seal(checkpoint: Path) -> None:
    """Record the hash of every file of a finished checkpoint; without this record it does not count.

    The files are on the disk before it is: a seal that outlives a power cut speaks of files that did.
    """
    files = _files(checkpoint)
    for path in files:
        sync_file(path)
    sync_folder(checkpoint)
    write_json(checkpoint / SEAL, {path.name: sha256(path) for path in files})
    sync_folder(checkpoint.parent)


def newest_whole(folder: Path, on_notice: Callable[[str], None]) -> Path | None:
    """The latest checkpoint of the folder whose seal holds; None where there is none.

    `on_notice` is told of each later one that was sealed and does not hold any more; one that a kill cut off before
    its seal is what a kill leaves. Both are removed: they are trained and written again, and a rotation that counts
    them would remove a whole one in their stead.
    """
    damaged: list[str] = []
    found: Path | None = None
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True):
        if is_whole(checkpoint):
            found = checkpoint
            break
        if (checkpoint / SEAL).exists():
            damaged.append(checkpoint.name)
        shutil.rmtree(checkpoint)
    for name in damaged:
        on_notice(f"has a damaged {name}, it {'goes on from ' + found.name if found else 'starts from scratch'}")
    return found


def newest_sealed(folder: Path) -> Path | None:
    """The latest checkpoint of the folder that has a seal, whether it holds or not; None where there is none."""
    return max((path.parent for path in folder.glob(f"checkpoint-*/{SEAL}")), key=step_of, default=None)


@contextlib.contextmanager
def nothing_unpickled(checkpoint: Path | None) -> Iterator[None]:
    """For what loads the checkpoint: torch reads tensors and plain values alone, and refuses what would run code.

    Raises CheckpointError in the place of torch's paragraph, which says how to run it all the same.
    """
    try:
        yield
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{checkpoint} must hold tensors and plain values, got what would run code when it is read: find out "
            "who wrote it, and remove that folder"
        ) from None


def is_whole(checkpoint: Path) -> bool:
    """Whether the checkpoint is sealed and every file still has its hash."""
    try:
        hashes = read_json(checkpoint / SEAL)
    except (OSError, ValueError):
        return False
    return all((checkpoint / name).is_file() and sha256(checkpoint / name) == h for name, h in hashes.items())


def _files(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.iterdir() if path.is_file() and SEAL not in path.name)


def step_of(checkpoint: Path) -> int:
    """The optimiser step after which it was written; -1 of any other folder."""
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1
