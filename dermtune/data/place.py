"""Where this machine finds images and keeps what it made of them; none of it is part of a trial's identity."""

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many of it are done, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Folders of one machine."""

    data_dir: Path
    """Holds the metadata file and the image folder."""
    cache_dir: Path
    """Holds fingerprints and decoded images, outside `data_dir`; may be deleted at any time between runs."""

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Hold the lock `name` of the cache folder; other processes wait. A process that dies lets go of it."""
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        with (self.cache_dir / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def no_progress(what: str, done: int, total: int) -> None:
    """The progress callback of a caller that wants to see none."""
