"""How the arms of a sweep were chosen: what a first stage tried, how it fared on val, and what was picked of it.

The first stage's trials lie beside the sweep's own; `selection.json` says which they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from dermtune.config import Scalar, UserError
from dermtune.durable import read_json, write_json

FORMAT = 1

Kind = Literal["search", "screen"]
State = Literal["complete", "pruned", "failed", "running"]


class SelectionError(UserError):
    """A first stage's record that cannot be read; the message says which file must hold what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One trial of the first stage."""

    number: int
    """In the order in which they were begun, from 0."""
    trial_id: str
    arm: str
    """Name of the point: what sets it apart from the baseline."""
    levers: Mapping[str, Scalar]
    seed: int
    state: State
    values: Sequence[float] = ()
    """Its scores on val, one an objective, after its last epoch; empty where it has none."""
    course: Sequence[float] = ()
    """The first objective on val after each epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """A point that became an arm of the sweep."""

    arm: str
    """Its name in the sweep."""
    tried: str
    """Its name in the first stage."""
    value: float
    """What picked it: its first objective on val, the mean over its seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a first stage tried and what was picked of it."""

    kind: Kind
    objectives: Sequence[str]
    """Metrics on val."""
    levers: Sequence[str]
    """That differ between the points."""
    trials: tuple[Tried, ...]
    picked: tuple[Picked, ...] = ()
    """The best first; empty until the first stage is over."""
    importances: Mapping[str, float] = field(default_factory=dict)
    """By lever, the share of the first objective's variance that it accounts for; empty where unknown."""

    def write(self, path: Path) -> None:
        """Keep it, whole or not at all."""
        write_json(path, {"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> "Selection":
        """The selection that `write` kept. Raises FileNotFoundError, SelectionError."""
        try:
            return cls._from_dict(read_json(path))
        except FileNotFoundError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise SelectionError(f"{path} must hold what the first stage tried, format {FORMAT}: {error}") from None

    @classmethod
    def _from_dict(cls, kept: Mapping[str, Any]) -> "Selection":
        if kept["format"] != FORMAT:
            raise ValueError(f"it has format {kept['format']!r}")
        fields = {key: value for key, value in kept.items() if key != "format"}
        return cls(
            **{
                **fields,
                "trials": tuple(Tried(**trial) for trial in kept["trials"]),
                "picked": tuple(Picked(**pick) for pick in kept["picked"]),
            }
        )
