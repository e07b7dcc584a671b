"""Objects in S3, or files in a folder that stands for it: sent, fetched, listed and removed, with patience."""

import contextlib
import functools
import hashlib
import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from dermtune.config import UserError
from dermtune.durable import whole
from dermtune.room import FULL
from dermtune.uris import without_secrets

CHUNK = 8 * 2**20
"""Bytes that are in memory at a time."""
SILENCE = 10
"""Seconds without a byte after which a request has failed."""
_WAITS = (0.5, 1.0, 2.0)
"""Seconds between attempts, the last one over and over."""

T = TypeVar("T")


class DepotError(UserError):
    """A storage that cannot be used now; the message says what was tried and what it answered, without secrets."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What lies below a URI. Names are relative to it, with `/` between their parts."""

    uri: str
    is_over: Callable[[], bool] = _never
    """Whether nobody waits for it any more."""

    def __str__(self) -> str:
        return self.uri.partition("?")[0]

    def send(self, path: Path, name: str, *, patience: float) -> None:
        """Write a file there. Raises DepotError where it is not there after so many seconds."""

        def send() -> None:
            with path.open("rb") as source, self._writing(name) as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)

        self._tried(f"write {name}", send, patience)

    def send_bytes(self, content: bytes, name: str, *, patience: float) -> None:
        """Write a small one, as `send` does."""

        def send() -> None:
            with self._writing(name) as target:
                target.write(content)

        self._tried(f"write {name}", send, patience)

    def fetch(self, name: str, path: Path, *, patience: float) -> str | None:
        """The hash of what is now in the file, whole or not at all; None where there is none. Raises DepotError."""

        def fetch() -> str | None:
            digest = hashlib.sha256()
            if (stream := self._reading(name)) is None:
                return None
            with stream as source, whole(path) as partial, partial.open("wb") as target:
                while chunk := source.read(CHUNK):
                    self._go_on()
                    digest.update(chunk)
                    target.write(chunk)
            return digest.hexdigest()

        return self._tried(f"read {name}", fetch, patience)

    def read(self, name: str, *, patience: float) -> bytes | None:
        """What a small one holds; None where it is not there. Raises DepotError."""

        def read() -> bytes | None:
            if (stream := self._reading(name)) is None:
                return None
            with stream as source:
                return bytes(source.read())

        return self._tried(f"read {name}", read, patience)

    def names(self, below: str, *, patience: float) -> list[str]:
        """All that lies below a name, in order; none where there is nothing. Raises DepotError."""

        def list_them() -> list[str]:
            from pyarrow import fs

            files, root = _opened(self.uri)
            found = files.get_file_info(fs.FileSelector(f"{root}/{below}", recursive=True, allow_not_found=True))
            prefix = f"{root}/"
            return sorted(f.path.removeprefix(prefix) for f in found if f.type == fs.FileType.File)

        return self._tried(f"list {below}", list_them, patience)

    def remove(self, name: str, *, patience: float) -> None:
        """Remove it, if it is there. Raises DepotError."""

        def remove() -> None:
            files, root = _opened(self.uri)
            with contextlib.suppress(FileNotFoundError):
                files.delete_file(f"{root}/{name}")

        self._tried(f"remove {name}", remove, patience)

    def remove_below(self, name: str, *, patience: float) -> None:
        """Remove all that lies below a name. Raises DepotError."""

        def remove() -> None:
            files, root = _opened(self.uri)
            with contextlib.suppress(FileNotFoundError):
                files.delete_dir(f"{root}/{name}")

        self._tried(f"remove {name}", remove, patience)

    def _reading(self, name: str) -> Any:
        """What reads it; None where it is not there, which no file of ours that is missing can be taken for."""
        files, root = _opened(self.uri)
        try:
            return files.open_input_stream(f"{root}/{name}")
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[Any]:
        files, root = _opened(self.uri)
        if files.type_name == "local":
            files.create_dir(f"{root}/{name}".rpartition("/")[0], recursive=True)
        with files.open_output_stream(f"{root}/{name}") as target:
            yield target

    def _go_on(self) -> None:
        if self.is_over():
            raise InterruptedError("nobody waits for it any more")

    def _tried(self, what: str, operation: Callable[[], T], patience: float) -> T:
        """What the operation returns, after as many attempts as there is patience for.

        A disk of ours that is full is no fault of the storage: raised.
        """
        deadline = time.monotonic() + patience
        waits = itertools.chain(_WAITS, itertools.repeat(_WAITS[-1]))
        while True:
            try:
                self._go_on()
                return operation()
            except OSError as error:
                if error.errno in FULL:
                    raise
                wait = next(waits)
                if self.is_over() or time.monotonic() + wait > deadline:
                    raise DepotError(f"{self} must let us {what}: {_said(error, self.uri)}") from None
                time.sleep(wait)


@functools.cache
def _opened(uri: str) -> tuple[Any, str]:
    """The file system and the path in it, without a `/` at its end."""
    from pyarrow import fs  # a driver without a storage does not wait for it

    parts = urlsplit(uri)
    if parts.scheme == "file":
        return fs.LocalFileSystem(), parts.path.rstrip("/")
    settings = {**_endpoint(), **dict(parse_qsl(parts.query))}
    bucket = f"{parts.netloc}/{parts.path.strip('/')}".rstrip("/")
    s3 = fs.S3FileSystem(
        **settings,
        connect_timeout=5,
        request_timeout=SILENCE,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),  # `_tried` knows how long to go on
        allow_delayed_open=True,  # a small object is one request where it need not be open before it is written
    )
    return s3, bucket


def _endpoint() -> dict[str, str]:
    """What the environment says of an S3 that is not Amazon's, as the AWS tools read it; pyarrow does not."""
    named = urlsplit(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "")
    return {"scheme": named.scheme, "endpoint_override": named.netloc} if named.netloc else {}


def _said(error: OSError, uri: str) -> str:
    """What the storage answered, in a line."""
    text = " ".join(without_secrets(str(error), uri).split())
    return re.sub(r" \(Request ID: [^)]*\)", "", text).rstrip(". ")
