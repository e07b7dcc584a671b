"""The locks of a sweep's one driver and of a trial's one worker."""

import contextlib
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from dermtune.config import UserError

PATIENCE = 120.0
"""Seconds; a file server takes longer than a machine to find that a writer is dead."""


class LedgerError(UserError):
    """A sweep's folder that cannot be used now; the message says why and what to do."""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder for this process alone; the lock of a driver that died is free by itself.

    Raises LedgerError, naming the driver that has it, or where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "driver.lock").open("a+")
    except OSError as error:
        raise LedgerError(f"{folder} must be a folder that can be written: {error}") from None
    with file:
        _take(file, folder)
        try:
            yield
        finally:
            file.truncate(0)


@contextlib.contextmanager
def written_alone(trial: Path, *, patience: float = PATIENCE) -> Iterator[None]:
    """The trial's folder for this process alone.

    The worker of a driver or node that died lives on for a second or two, and is waited for. Raises LedgerError
    where it has not ended after so many seconds, OSError where the folder cannot be written.
    """
    if not trial.exists():
        trial.mkdir(parents=True, exist_ok=True)
    path, deadline = trial / "writer.lock", time.monotonic() + patience
    while (file := _taken(path)) is None:
        if time.monotonic() > deadline:
            raise LedgerError(f"{trial} must have one writer, a worker that was given up still has it: end it")
        time.sleep(0.1)
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _taken(path: Path) -> IO[str] | None:
    """The file, locked; None where another process has it, or removed it meanwhile."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    file.close()
    return None


def is_held(folder: Path) -> bool:
    """Whether a driver has the folder now; asked of a folder that need not be writable, and leaves no trace."""
    try:
        file = (folder / "driver.lock").open()
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _take(file: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise LedgerError(f"{folder} must have one driver, {_driver(file.read())} runs it already") from None
    except OSError as error:
        raise LedgerError(
            f"{folder} must lie on a file system that can lock files, or two drivers could share it: "
            f"{error.strerror}; mount it with locks (Lustre: `-o flock`) or choose another --out"
        ) from None
    file.truncate(0)
    with contextlib.suppress(OSError):  # on a full disk the lock holds without its holder's name
        os.write(file.fileno(), json.dumps({"pid": os.getpid(), "host": platform.node()}).encode())


def _driver(text: str) -> str:
    try:
        driver = json.loads(text)
        return f"process {driver['pid']} on {driver['host']}"
    except (ValueError, KeyError):
        return "another process"
