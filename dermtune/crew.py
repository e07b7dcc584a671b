"""The processes that train one trial together.

Together they do what one process does: the same images in the same steps, mirrored and blended by the same numbers.
Only the order in which gradients are summed differs, so results agree to rounding and not in their last bits.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from dermtune.data.place import Place
from dermtune.plan import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """This process's place among those that train one trial."""

    rank: int = 0
    """Its number, from 0; that one alone writes into the trial's folder."""
    processes: int = 1


ALONE = Crew()

Gather = Callable[[Trial, Place, Path, int | None], AbstractContextManager[Crew]]
"""Gathers the crew of a trial, given its images, checkpoints and `micro_batch`: inside, all of it trains."""


def no_others(
    trial: Trial,  # noqa: ARG001
    place: Place,  # noqa: ARG001
    checkpoint: Path,  # noqa: ARG001
    micro_batch: int | None,  # noqa: ARG001
) -> AbstractContextManager[Crew]:
    """A crew of one process."""
    return nullcontext(ALONE)
