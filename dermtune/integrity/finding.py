"""What an inspection says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Severity = Literal["damaged", "unpaired", "mixed", "unfinished", "left over"]
"""A file is not what it was; trials cannot be compared; they can, with care; are not done yet; nobody needs it."""

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The worst first."""
FATAL: tuple[Severity, ...] = ("damaged", "unpaired")
"""A folder with one of these is not sound."""

RUN_AGAIN = "the next start sets the trial aside and runs it again"
MOVE_AWAY = "move the trial's folder away; the next start runs it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be."""

    severity: Severity
    file: str
    """File or folder, relative to the sweep's folder."""
    what: str
    """A clause."""
    do: str
    """What to do about it, a clause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """All that was found in a sweep's folder."""

    n_trials: int
    """That `sweep.json` lists, and those of a first stage; those on disk where it cannot be read."""
    n_done: int
    """Of these, with every file as it was sealed; those that a search has pruned as it should among them."""
    findings: tuple[Finding, ...]
    """The worst first."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged or unpaired."""
        return not any(self.counts[severity] for severity in FATAL)

    @property
    def counts(self) -> Mapping[Severity, int]:
        """Number of findings of each severity."""
        severities = [finding.severity for finding in self.findings]
        return {severity: severities.count(severity) for severity in SEVERITIES}

    def to_dict(self) -> dict[str, Any]:
        """The inspection for programs."""
        return {
            "format": 1,
            "n_trials": self.n_trials,
            "n_done": self.n_done,
            "sound": self.is_sound,
            "counts": dict(self.counts),
            "findings": [
                {"severity": one.severity, "file": one.file, "what": one.what, "do": one.do}
                for one in self.findings
            ],
        }
