"""Files that are there whole or not at all, on local and on network file systems, and the hashes that prove it."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write to a neighbour, wait until it is on the disk, rename it into place; the folder is made if need be.

    A reader sees the old file or the new one, whatever is killed in between: a rename is atomic on POSIX file
    systems and on NFS. The neighbour's name holds host and process, so that writers on two machines never share
    one. Raises OSError, after the neighbour is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, whole or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises OSError, or ValueError where it holds something else."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"must be a JSON object, got {type(content).__name__}")
    return content


def sha256(path: Path) -> str:
    """Hash of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Wait until a file that somebody else wrote is on the disk."""
    _sync(path)


def sync_folder(folder: Path) -> None:
    """Wait until the folder's entries are on the disk: a rename counts only then."""
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
