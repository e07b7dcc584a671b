"""Whether what was pulled is what lies on the machine, and what its trials have sealed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from dermtune.durable import sha256
from dermtune.ledger import SEALED, SweepFolder
from dermtune.ledger.upkeep import damaged
from infra.watchdog.listing import Listing, RemoteFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A comparison of two folders, and of each done trial with its manifest."""

    by: Literal["sha256", "size"]
    """By what files were compared: sizes alone where the machine could not be asked for hashes any more."""
    n_files: int
    """On the machine."""
    n_bytes: int
    missing: tuple[str, ...] = ()
    """Files that lie there and not here."""
    different: tuple[str, ...] = ()
    """Files that are not the same here."""
    damaged: Mapping[str, str] = field(default_factory=dict)
    """Trials here whose files are not what their manifests sealed, and why, by trial_id."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {"missing": list(self.missing), "different": list(self.different), "damaged": dict(self.damaged)}
        return {"by": self.by, "n_files": self.n_files, "n_bytes": self.n_bytes, **plain}

    @property
    def holds(self) -> bool:
        """Whether all that lies there is here."""
        return not self.missing and not self.different


OnTime = Callable[[], None]
"""Called before each file that is read; raises where the time is up."""


def unhurried() -> None:
    """An OnTime for when there is all the time."""


def compare(listing: Listing, into: Path, sealed: frozenset[str], on_time: OnTime) -> Check:
    """The comparison, damage left out. `sealed` are files that a manifest vouches for here, whatever lies there."""
    by_hash = all(file.sha256 is not None for file in listing.files.values())
    missing, different = list[str](), list[str]()
    for path, file in sorted(listing.files.items()):
        on_time()
        here = into / path
        if not here.is_file():
            missing.append(path)
        elif path not in sealed and not _same(here, file):
            different.append(path)
    return Check(
        by="sha256" if by_hash else "size",
        n_files=len(listing.files),
        n_bytes=sum(file.size for file in listing.files.values()),
        missing=tuple(missing),
        different=tuple(different),
    )


def _same(here: Path, file: RemoteFile) -> bool:
    return here.stat().st_size == file.size and (file.sha256 is None or sha256(here) == file.sha256)


class Pulled:
    """What is here of a sweep. A trial that was found whole once is not read again, and no pull overwrites it."""

    def __init__(self, into: Path) -> None:
        self.into = into
        self._whole: set[str] = set()

    def sealed(self, on_time: OnTime) -> frozenset[str]:
        """Paths of the files that a done trial's manifest vouches for, and of the manifest, in the folder.

        Where the time is up, what was found whole until then is remembered.
        """
        for trial_id in self._on_disk():
            on_time()
            if trial_id not in self._whole and SweepFolder(self.into).trial(trial_id).is_done():
                self._whole.add(trial_id)
        names = (*SEALED, "manifest.json")
        return frozenset(f"trials/{trial_id}/{name}" for trial_id in self._whole for name in names)

    def check(self, listing: Listing, on_time: OnTime) -> Check:
        """Whether all that lies there is here; every file is read anew."""
        self._whole.clear()
        return compare(listing, self.into, self.sealed(on_time), on_time)

    def judged(self, check: Check) -> Check:
        """The comparison with the damage of every trial here."""
        return replace(check, damaged=damaged(SweepFolder(self.into)))

    def _on_disk(self) -> Iterator[str]:
        return (path.name for path in (self.into / "trials").glob("[!.]*"))
