"""Files that are there whole or not at all, on local and on network file systems, and the hashes that prove it."""

import functools
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.wholefile import sync_file, sync_folder, whole, write_text

__all__ = [
    "read_json",
    "sha256",
    "sha256_since_changed",
    "sync_file",
    "sync_folder",
    "whole",
    "write_json",
    "write_text",
]

_SETTLED_NS = 5 * 10**9
"""What has changed within it may change again and keep its times: some file systems tick every two seconds."""
_Stamp = tuple[int, int, int, int, int]
"""Of a file: which it is, how long, when its bytes were last written, and when anything of it was."""


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


def sha256_since_changed(path: Path) -> str:
    """The same; bytes that this process has hashed are not read again before the file changes.

    A start looks at every sealed file several times over, and of a large sweep they are terabytes.
    """
    status = path.stat()
    stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    settled = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS
    return _sha256_of(path, stamp) if settled else sha256(path)


@functools.lru_cache(maxsize=2**17)
def _sha256_of(path: Path, stamp: _Stamp) -> str:  # noqa: ARG001 another stamp is another file
    return sha256(path)
