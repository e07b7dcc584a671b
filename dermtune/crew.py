"""The processes that train one trial together: how many there are, and which part of each optimiser step is whose.

Together they do what one process does: the same images in the same steps, mirrored and blended by the same numbers.
Only the order in which gradients are summed differs, so results agree to rounding and not in their last bits.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from dermtune.config import ConfigError, TrainingConfig
from dermtune.data.place import Place
from dermtune.plan import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """This process's place among those that train one trial."""

    rank: int = 0
    """Its number, from 0; that one alone writes into the trial's folder."""
    processes: int = 1


ALONE = Crew()

Gather = Callable[[Trial, Place, Path], AbstractContextManager[Crew]]
"""Gathers the crew of a trial, given where its images and its checkpoints are: inside, all of them train it."""


def no_others(trial: Trial, place: Place, checkpoint: Path) -> AbstractContextManager[Crew]:  # noqa: ARG001
    """A crew of one process."""
    return nullcontext(ALONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process's part of every optimiser step.

    A process by itself makes a step of `accumulation` forward passes of `batch_size` images. Of a crew, several of
    these are under way at once, and where there are more processes than passes, several share one.
    """

    batch_size: int
    accumulation: int
    crew: Crew = ALONE

    @property
    def at_once(self) -> int:
        """Forward passes of a step that are under way at a time."""
        return math.gcd(self.accumulation, self.crew.processes)

    @property
    def sharers(self) -> int:
        """Processes that share a forward pass."""
        return self.crew.processes // self.at_once

    @property
    def images(self) -> int:
        """Images of this process in a forward pass."""
        return self.batch_size // self.sharers

    @property
    def passes(self) -> int:
        """Forward passes of this process in a step."""
        return self.accumulation // self.at_once

    def number(self, own: int) -> int:
        """Number of the forward pass, of all of an epoch's or of a training's, that is this process's `own`th."""
        return own * self.at_once + self.crew.rank // self.sharers

    def rows(self, n: int) -> slice:
        """This process's images in a forward pass of `n`; none in the last one of an epoch, if others take them."""
        first = self.crew.rank % self.sharers * self.images
        return slice(min(first, n), min(first + self.images, n))


def part_of(training: TrainingConfig, crew: Crew) -> Part:
    """The part of a process of the crew. Raises ConfigError where a batch cannot be divided evenly."""
    part = Part(batch_size=training.batch_size, accumulation=training.accumulation, crew=crew)
    if training.batch_size % part.sharers:
        raise ConfigError(
            f"`batch_size` must be divisible by {part.sharers}, the processes that share a batch when "
            f"{crew.processes} train a trial with `accumulation` {training.accumulation}, got {training.batch_size}"
        )
    return part
