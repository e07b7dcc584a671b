"""What a first stage tried, how each of them did on `val`, and which were picked: the file `selection.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from dermtune.durable import read_json, write_json
from dermtune.levers import Scalar
from dermtune.validation import UserError

FORMAT = 1

Stage = Literal["search", "screen"]
State = Literal["done", "pruned", "failed"]

STAGES: Mapping[Stage, str] = {"search": "search", "screen": "screening"}
"""First stages, as a person names them."""


class SelectionError(UserError):
    """A selection.json that cannot be read; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One point of a search, or one arm of a screening."""

    number: int
    """In the order in which they were proposed, from 0, which is the baseline."""
    name: str
    """The arm's name in the first stage."""
    levers: Mapping[str, Scalar]
    trial_ids: tuple[str, ...]
    """One a seed of the first stage."""
    state: State
    epochs: int
    """Epochs trained, of the trial that has most."""
    scores: Mapping[str, float]
    """Means over seeds on `val`, as fractions, of the last epoch; empty where it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """An arm of the second stage."""

    arm: str
    """Its name there: `pick-1` for the best point of a search; an arm of a screening keeps its own."""
    number: int
    """Which of those tried it is."""
    levers: Mapping[str, Scalar]
    """What it changes from the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A first stage that has ended."""

    stage: Stage
    metric: str
    """The primary metric, by which is picked."""
    objectives: tuple[str, ...]
    """The metric, and those sought beside it."""
    seeds: tuple[int, ...]
    epochs: int
    """Of a whole trial."""
    tried: tuple[Tried, ...]
    """The baseline first."""
    picks: tuple[Picked, ...]
    """The best first."""
    importances: Mapping[str, float] = field(default_factory=dict)
    """Each lever's share in the variance of the metric over the points (fANOVA); empty of a screening."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """What the first stage was asked: where the sweep asks otherwise, the picks are not its own."""

    def write(self, path: Path) -> None:
        """Write it whole or not at all."""
        write_json(path, {"format": FORMAT, "split": "val", **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> "Selection | None":
        """What the file holds; None where there is none. Raises SelectionError."""
        try:
            plain = read_json(path)
            return cls._from_dict(plain)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise SelectionError(
                f"{path} must hold what the first stage picked, this does not fit: {error}; "
                "move it away to pick anew from what was tried"
            ) from None

    @classmethod
    def _from_dict(cls, plain: Mapping[str, Any]) -> "Selection":
        if plain["format"] != FORMAT:
            raise ValueError(f"format {plain['format']!r}")
        return cls(
            stage=plain["stage"],
            metric=plain["metric"],
            objectives=tuple(plain["objectives"]),
            seeds=tuple(plain["seeds"]),
            epochs=plain["epochs"],
            tried=tuple(Tried(**{**one, "trial_ids": tuple(one["trial_ids"])}) for one in plain["tried"]),
            picks=tuple(Picked(**one) for one in plain["picks"]),
            importances=plain["importances"],
            asked=plain.get("asked", {}),
        )
