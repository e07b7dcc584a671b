"""The lock of a sweep's one driver."""

import contextlib
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from dermtune.config import UserError


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
