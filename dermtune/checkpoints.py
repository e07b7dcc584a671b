"""Epoch checkpoints that count only when they are whole: a seal of hashes is written last and checked first."""

import hashlib
import json
from pathlib import Path

SEAL = "sealed.json"


def seal(checkpoint: Path) -> None:
    """Record the hash of every file of a finished checkpoint; without this record it does not count."""
    hashes = {path.name: _sha256(path) for path in _files(checkpoint)}
    partial = checkpoint / f".{SEAL}"
    partial.write_text(json.dumps(hashes, indent=1, sort_keys=True))
    partial.replace(checkpoint / SEAL)


def newest_whole(folder: Path) -> Path | None:
    """The latest checkpoint of the folder whose seal holds; None where there is none."""
    candidates = sorted(folder.glob("checkpoint-*"), key=_step, reverse=True)
    return next((checkpoint for checkpoint in candidates if is_whole(checkpoint)), None)


def is_whole(checkpoint: Path) -> bool:
    """Whether the checkpoint is sealed and every file still has its hash."""
    try:
        hashes: dict[str, str] = json.loads((checkpoint / SEAL).read_text())
    except (OSError, ValueError):
        return False
    return all((checkpoint / name).is_file() and _sha256(checkpoint / name) == h for name, h in hashes.items())


def _files(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.iterdir() if path.is_file() and not path.name.endswith(SEAL))


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
