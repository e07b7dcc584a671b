"""What is on the machine, told by the machine: sent there as it stands, and run by its Python, 3.8 or later.

Called with a JSON object: `folder`, the sweep's; `hashes`, whether every file is read; `signal`, whether its driver
is told to stop. Answers with a JSON object on standard output. It writes nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator  # noqa: UP035 the machine's Python may be old

LEFT_THERE = ("checkpoint", "driver.lock", "writer.lock")
"""Names of what is not pulled: checkpoints, which are large, and locks, which mean something there alone."""


def look(asked: dict[str, Any]) -> dict[str, Any]:
    """What the machine says of itself."""
    folder = Path(asked["folder"])
    driver = _driver(folder / "driver.lock")
    return {
        **_lies_in(folder, asked["hashes"]),
        "driver": driver is not None,
        "signalled": bool(asked["signal"]) and _stop(driver),
        "gpu": _gpu(),
        "rsync": shutil.which("rsync") is not None,
        "pod": _pod(),
    }


def is_pulled(path: Path) -> bool:
    """Whether a file is pulled, by its path in the folder; what begins with a dot is half-written."""
    return not any(part.startswith(".") or part in LEFT_THERE for part in path.parts)


def _lies_in(folder: Path, hashes: bool) -> dict[str, Any]:
    """`files`: of each that is pulled, by its path in the folder, its size, and its hash or None.

    `trace`: another text whenever any file there, a checkpoint's too, is another by name, size or time; no clock is
    asked. A walk with one look a file: on a network's disk each is a round trip.
    """
    files, trace = {}, hashlib.sha256()
    for path, about in _walk(folder):
        inside = path.relative_to(folder)
        if path.name != "driver.lock":  # that is touched by who fails to take it
            trace.update(f"{inside}\0{about.st_size}\0{about.st_mtime_ns}\0".encode("utf-8", "replace"))
        if is_pulled(inside) and stat.S_ISREG(about.st_mode):
            with contextlib.suppress(FileNotFoundError):  # it was replaced meanwhile
                files[str(inside)] = (about.st_size, _hash(path) if hashes else None)
    return {"files": files, "trace": trace.hexdigest()}


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Each file below the folder, in a fixed order, with what is known of it itself, not of where it leads."""
    for here, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(here, name)
            with contextlib.suppress(FileNotFoundError):
                yield path, path.lstat()


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _driver(lock: Path) -> dict[str, Any] | None:
    """Who runs the sweep, as far as the lock tells; None where nobody does."""
    try:
        file = lock.open()
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            with contextlib.suppress(ValueError):
                return dict(json.loads(file.read()))
            return {}
    return None


def _stop(driver: dict[str, Any] | None) -> bool:
    """Whether a driver was told to stop; one with another machine's name is no process of this one."""
    if not driver or driver.get("host") != platform.node():
        return False
    try:
        os.kill(driver["pid"], signal.SIGTERM)
    except (KeyError, TypeError, OSError):
        return False
    return True


def _gpu() -> int | None:
    """How busy the busiest GPU is, in percent; None where nobody can tell."""
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10, check=True)
        return max(int(line) for line in said.stdout.decode().split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _pod() -> str | None:
    """Which of RunPod's machines this is; None where nobody can tell. A session by ssh may lack the variable."""
    if "RUNPOD_POD_ID" in os.environ:
        return os.environ["RUNPOD_POD_ID"]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for entry in Path("/proc/1/environ").read_text().split("\0"):
            name, _, value = entry.partition("=")
            if name == "RUNPOD_POD_ID":
                return value
    return None


if __name__ == "__main__":
    json.dump(look(json.loads(sys.argv[1])), sys.stdout)
