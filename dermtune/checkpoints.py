"""Epoch checkpoints that count only when they are whole: a seal of hashes is written last and checked first."""

from collections.abc import Callable
from pathlib import Path

from dermtune.durable import read_json, sha256, write_json

SEAL = "sealed.json"


def seal(checkpoint: Path) -> None:
    """Record the hash of every file of a finished checkpoint; without this record it does not count."""
    hashes = {path.name: sha256(path) for path in _files(checkpoint)}
    write_json(checkpoint / SEAL, hashes)


def newest_whole(folder: Path, on_notice: Callable[[str], None]) -> Path | None:
    """The latest checkpoint of the folder whose seal holds; None where there is none.

    `on_notice` is told of each later one that was sealed and does not hold any more; one that a kill cut off before
    its seal is what a kill leaves.
    """
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
        if is_whole(checkpoint):
            return checkpoint
        if (checkpoint / SEAL).exists():
            on_notice(f"has a damaged {checkpoint.name}, the one before it is used")
    return None


def is_whole(checkpoint: Path) -> bool:
    """Whether the checkpoint is sealed and every file still has its hash."""
    try:
        hashes = read_json(checkpoint / SEAL)
    except (OSError, ValueError):
        return False
    return all((checkpoint / name).is_file() and sha256(checkpoint / name) == h for name, h in hashes.items())


def _files(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.iterdir() if path.is_file() and SEAL not in path.name)


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1
