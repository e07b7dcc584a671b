"""Where this machine finds images and keeps what it made of them; none of it is part of a trial's identity."""

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dermtune.config import UserError

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
        """Hold the lock `name` of the cache folder; other processes wait. A process that dies lets go of it.

        Raises UserError where the cache folder cannot be written.
        """
        with self.writing():
            file = (self.cache_dir / f"{name}.lock").open("w")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """For what writes to the cache folder, which is made where there is none.

        Raises UserError in place of an OSError: a folder that is none, or not writable, or full.
        """
        try:
            self.cache_dir.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            raise UserError(
                f"{self.cache_dir}: must be a folder to keep decoded images in, with room for them "
                f"(DERMTUNE_CACHE names another): {error}"
            ) from None


def no_progress(what: str, done: int, total: int) -> None:
    """The progress callback of a caller that wants to see none."""
