"""What a first stage was asked, as `first.json` holds it from the stage's start, and who may go on from it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dermtune.durable import read_json, write_json
from dermtune.ledger import LedgerError, SweepFolder
from dermtune.plan import Plan
from dermtune.validation import UserError

FORMAT = 1


def write_first(folder: SweepFolder, of_first: Plan, asked: Mapping[str, Any], question: str) -> None:
    """Write what the stage is asked, and its trials: of a search the baseline's alone, its points come later."""
    kept = of_first
    if of_first.stage == "search":
        kept = replace(of_first, arms=of_first.arms[:1], trials=of_first.trials[:1])
    about = {"format": FORMAT, "stage": of_first.stage, "question": question, "asked": dict(asked)}
    write_json(folder.first, {**about, "plan": kept.to_dict()})


def read_asked(folder: SweepFolder) -> dict[str, Any] | None:
    """All that `first.json` holds; None where the folder has no first stage. Raises LedgerError."""
    try:
        plain = read_json(folder.first)
        if plain["format"] != FORMAT:
            raise ValueError(f"format {plain['format']!r}")
        return {key: plain[key] for key in ("stage", "question", "asked", "plan")}
    except (FileNotFoundError, NotADirectoryError):  # what is no folder at all, the lock refuses in its own words
        return None
    except (ValueError, KeyError) as error:
        raise LedgerError(f"{folder.first} must hold what the first stage was asked: {error}") from None


def refuse_first(folder: SweepFolder) -> None:
    """Raises UserError where the folder has a first stage: for a sweep that has none, what it picked is no arm."""
    if read_asked(folder) is not None:
        raise UserError(
            f"{folder.path} must be the folder of a sweep without a first stage, it has one (first.json): --out "
            "names another, and moving the folder away starts anew"
        )
