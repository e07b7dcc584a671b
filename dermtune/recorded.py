"""What was asked, read back from a sweep's folder: the same plan, without the sweep file and the recipe."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dermtune.config import UserError
from dermtune.durable import read_json
from dermtune.ledger import LedgerError, SweepFolder
from dermtune.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A sweep as its folder tells it."""

    plan: Plan
    question: str
    """The sweep file's first line; empty in a folder from before it was kept."""


def read_recorded(folder: SweepFolder) -> Recorded:
    """The plan whose trials the folder lists, each with the id that it has there. Raises LedgerError."""
    path = folder.path / "sweep.json"
    try:
        asked = read_json(path)
        plan = Plan.from_dict({**_of_manifest(folder, asked), **asked})
    except FileNotFoundError:
        raise LedgerError(f"{folder.path} must be a sweep's folder, with a sweep.json; there is none") from None
    except UserError as error:
        raise LedgerError(f"{path}: {error}") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LedgerError(f"{path} must hold what was asked, this does not fit: {error}") from None
    return Recorded(plan=plan, question=str(asked.get("question", "")))


def _of_manifest(folder: SweepFolder, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a `sweep.json` from before it held the config lacks, as a done trial tells it."""
    if "config" in asked:
        return {}
    for trial in asked["trials"]:
        with suppress(OSError, ValueError, KeyError):
            manifest = folder.trial(trial["trial_id"]).manifest()
            return {
                "config": manifest["config"],
                "fingerprints": manifest["fingerprints"],
                "grid": _grid([arm["levers"] for arm in asked["arms"]]),
            }
    raise LedgerError("there must be a `config`, or a done trial that has it; the sweep's own command writes it")


def _grid(arms: list[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Each lever's values over all arms, in their order."""
    return {lever: list(dict.fromkeys(arm[lever] for arm in arms)) for lever in arms[0]}
