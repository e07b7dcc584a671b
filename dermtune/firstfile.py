"""What a first stage was asked, as `first.json` holds it from the stage's start, and who may go on from it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dermtune.durable import read_json, write_json
from dermtune.ledger import LedgerError, SweepFolder
from dermtune.plan import Plan
from dermtune.validation import UserError

FORMAT = 1

GROWS = ("n_points", "confirm")
"""What a search may be asked otherwise and still go on: more points are tried, other picks are made of them."""
SAID = {
    "stage": "kind of first stage",
    "objectives": "metrics",
    "seeds": "seed of the search",
    "baseline": "baseline, data or recipe",
    "space": "space",
    "with_guards": "objectives",
    "grace_epochs": "grace epochs",
    "reduction": "reduction",
}


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
    except FileNotFoundError:
        return None
    except (ValueError, KeyError) as error:
        raise LedgerError(f"{folder.first} must hold what the first stage was asked: {error}") from None


def refuse_other(folder: SweepFolder, asked: Mapping[str, Any] | None) -> None:
    """Raises UserError where the folder's first stage is another's, whose points cannot be gone on from.

    `asked` is what is asked now; None where there is no first stage. A screening is made of trials alone: what is
    missing of another one is run, and picked anew.
    """
    there = read_asked(folder)
    if there is None:
        return
    before = there["asked"]
    if asked is None:
        other = "the sweep has none"
    elif differing := _differing(before, asked):
        other = f"the sweep's has another {' and '.join(differing)}"
    else:
        return
    raise UserError(
        f"{folder.path} must be the folder of the same question, its first stage (first.json) is a "
        f"{'search' if before.get('stage') == 'search' else 'screening'} and {other}; --out DIR names another, and "
        "moving the folder away starts anew"
    )


def _differing(before: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    if before.get("stage") != asked["stage"]:
        return [SAID["stage"]]
    if asked["stage"] != "search":
        return []
    differ = [key for key in asked if key not in GROWS and before.get(key) != asked[key]]
    return list(dict.fromkeys(SAID[key] for key in differ))
