"""What a folder says of its first stage, and what is still to be said of one that has picked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dermtune.config import UserError
from dermtune.firstfile import read_asked
from dermtune.integrity.examination import Examined, Listed
from dermtune.integrity.finding import Finding
from dermtune.ledger import SweepFolder
from dermtune.selection import Selection

PICKED = "nothing: what was picked stays"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStage:
    """A first stage as its files tell it."""

    listed: Sequence[Listed]
    """Its trials; of a search that has not picked those that are done."""
    selection: Selection | None


def first_stage(
    folder: SweepFolder, on_disk: Callable[[], Iterator[Listed]], findings: list[Finding]
) -> FirstStage | None:
    """The first stage; None where there is none. A file of it that cannot be read is a finding."""
    try:
        there = read_asked(folder)
        if there is None:
            return None
        listed = _planned(there, on_disk)
    except (UserError, KeyError, TypeError, ValueError) as error:
        findings.append(_damaged("first.json", error, "move it away; the sweep's command writes it anew"))
        listed = ()
    try:
        selection = Selection.read(folder.selection)
    except UserError as error:
        findings.append(_damaged("selection.json", error, "move it away; the sweep's command picks anew"))
        selection = None
    return FirstStage(listed=listed if selection is None else [*_tried(selection)], selection=selection)


def after_picking(one: Examined) -> Examined:
    """What is found of a trial whose stage has picked: it is not run again."""
    return replace(one, findings=tuple(replace(finding, do=PICKED) for finding in one.findings))


def _planned(there: dict[str, Any], on_disk: Callable[[], Iterator[Listed]]) -> Sequence[Listed]:
    if there["stage"] == "search":
        return [trial for trial in on_disk() if trial.seed in there["plan"]["seeds"]]
    return [
        Listed(trial_id=str(one["trial_id"]), arm=str(one["arm"]), seed=int(one["seed"]))
        for one in there["plan"]["trials"]
    ]


def _tried(selection: Selection) -> Iterator[Listed]:
    for one in selection.tried:
        for trial_id, seed in zip(one.trial_ids, selection.seeds, strict=False):
            yield Listed(trial_id=trial_id, arm=one.name, seed=seed)


def _damaged(file: str, error: Exception, do: str) -> Finding:
    return Finding(severity="damaged", file=file, what=f"cannot be read: {error}", do=do)
