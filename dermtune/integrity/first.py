"""What a folder says of its first stage, and what is still to be said of one that has picked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dermtune.config import UserError
from dermtune.integrity.examination import Examined, Listed
from dermtune.integrity.finding import Finding
from dermtune.ledger import SweepFolder
from dermtune.recorded import picked, read_first

PICKED = "nothing: what was picked stays"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStage:
    """A first stage as its files tell it."""

    listed: Sequence[Listed]
    """Its trials; of a search those that are proposed."""
    has_picked: bool


def first_stage(folder: SweepFolder, findings: list[Finding]) -> FirstStage | None:
    """The first stage; None where there is none. A file of it that cannot be read is a finding."""
    listed: list[Listed] = []
    try:
        first = read_first(folder)
        if first is None:
            return None
        listed = [Listed(trial_id=t.trial_id, arm=t.arm, seed=t.seed) for t in first.trials]
        return FirstStage(listed=listed, has_picked=picked(folder) is not None)
    except UserError as error:
        do = "move what it names away; the sweep's command goes on from the trials that are there"
        findings.append(Finding(severity="damaged", file=_named(error, folder), what=str(error), do=do))
        return FirstStage(listed=listed, has_picked=False)


def after_picking(one: Examined) -> Examined:
    """What is found of a trial whose stage has picked: it is not run again."""
    return replace(one, findings=tuple(replace(finding, do=PICKED) for finding in one.findings))


def _named(error: UserError, folder: SweepFolder) -> str:
    """The file of which the error tells."""
    files: tuple[Path, ...] = (folder.selection, folder.search)
    return next((path.name for path in files if str(path) in str(error)), folder.first.name)
