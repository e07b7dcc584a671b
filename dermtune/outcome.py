"""How a trial of a first stage has ended, by its folder, as far as val tells."""

from collections.abc import Mapping
from dataclasses import dataclass

from dermtune.ledger import TrialFolder
from dermtune.selection import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it has ended."""

    state: State
    epochs: int
    """Epochs trained."""
    scores: Mapping[str, float]
    """On val, after the last of them, as fractions; empty where it failed."""


def outcome_of(folder: TrialFolder) -> Outcome | None:
    """How the trial has ended; None where it has not. Raises LedgerError where `pruned.json` is damaged."""
    if folder.is_done():
        scores = folder.manifest()["scores"]["val"]
        return Outcome(state="done", epochs=len(folder.history_rows()), scores=scores)
    if (pruned := folder.pruned()) is not None:
        return Outcome(state="pruned", epochs=pruned.epochs, scores=pruned.scores)
    if folder.failure() is not None:
        return Outcome(state="failed", epochs=len(folder.history_rows()), scores={})
    return None
