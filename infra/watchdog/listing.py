"""What lies in the sweep's folder on the machine, as the machine has told it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file there."""

    size: int
    """Bytes."""
    sha256: str | None
    """None where hashes were not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A machine's answer."""

    files: Mapping[str, RemoteFile]
    """All that is pulled, by its path in the sweep's folder; checkpoints and locks are not."""
    trace: str
    """Another one whenever anything in the folder is another, checkpoints too."""
    driver: bool
    """Whether a sweep runs in the folder."""
    signalled: bool
    """Whether that was told to stop."""
    gpu: int | None
    """Percent of the busiest GPU; None where there is none."""
    has_rsync: bool
    machine_id: str | None
    """What the machine says that it is; None where it does not know."""

    @property
    def is_sweep(self) -> bool:
        """Whether it is a sweep's folder, and not one that somebody mistyped."""
        return "sweep.json" in self.files or "first.json" in self.files

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "Listing":
        """From the probe's answer. Raises LookupError, TypeError or ValueError where it is none."""
        files = {
            str(path): RemoteFile(size=int(size), sha256=sha256) for path, (size, sha256) in told["files"].items()
        }
        return cls(
            files=files,
            trace=str(told["trace"]),
            driver=bool(told["driver"]),
            signalled=bool(told["signalled"]),
            gpu=told["gpu"],
            has_rsync=bool(told["rsync"]),
            machine_id=told["pod"],
        )
