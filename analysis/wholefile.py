"""A file that is there whole or not at all, on local and on network file systems."""

import contextlib
import errno
import os
import platform
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A neighbour to write to: at the block's end it is on the disk and takes the file's place.

    A reader sees the old file or the new one, whatever is killed in between, for a rename is atomic on POSIX file
    systems and on NFS. The neighbour's name holds host and process, so that writers on two machines never share
    one. Missing folders are made. Where the block or the disk raises, the neighbour is removed and an OSError
    names this file.
    """
    partial = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with naming(path):
            yield partial
            sync_file(partial)
            partial.replace(path)
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError that leaves this block names this path, and no neighbour of it."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # one that a library made up has nothing but its own words
            error.filename, error.filename2 = str(path), None
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all. Raises OSError where it cannot be."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def sync_file(path: Path) -> None:
    """Wait until a file that somebody else wrote is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Wait until the folder's entries are on the disk: a rename counts only then."""
    try:
        sync_file(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync no folder
            raise
