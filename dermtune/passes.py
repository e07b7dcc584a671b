"""The recipe's forward passes, which random draws belong to, however many images a pass holds on this machine."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dermtune.config import ConfigError, TrainingConfig
from dermtune.mixup import Mixup, Pairing, side_by_side
from dermtune.pixels import Mirroring, mirrors


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Images of one of the recipe's passes that are in a pass here."""

    number: int
    """Which of the recipe's passes, counted over the whole training: what its draws are made by."""
    n: int
    """Images of that pass."""
    start: int
    """The first of them that is here."""
    stop: int
    """Behind the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """How an optimiser step's images are dealt to forward passes: by the recipe, and here.

    A step has the same images in the same order either way, and each its own mirrors and its own partner, so that
    what one pass holds is the machine's affair. With the recipe's own passes the draws are those of every version.
    """

    batch_size: int
    """Images of a pass, by the recipe."""
    accumulation: int
    """Passes of a step, by the recipe."""
    micro_batch: int
    """Images of a pass here."""

    @classmethod
    def of(cls, training: TrainingConfig, micro_batch: int | None = None) -> "Passes":
        """Those of a recipe, on a machine where a pass holds so many images; None holds as many as the recipe says.

        Raises ConfigError where the step's images cannot be dealt so.
        """
        step = training.batch_size * training.accumulation
        micro_batch = training.batch_size if micro_batch is None else micro_batch
        if micro_batch < 1 or step % micro_batch:
            raise ConfigError(
                f"`micro_batch` must divide the images of an optimiser step, {step} = `batch_size` "
                f"{training.batch_size} x `accumulation` {training.accumulation}, got {micro_batch}"
            )
        return cls(batch_size=training.batch_size, accumulation=training.accumulation, micro_batch=micro_batch)

    @property
    def per_step(self) -> int:
        """Passes of a step here."""
        return self.batch_size * self.accumulation // self.micro_batch

    def check_pairs(self) -> None:
        """Raises ConfigError where a pass here has a part of a recipe's pass, whose images mixup pairs."""
        if self.micro_batch % self.batch_size:
            raise ConfigError(
                f"`micro_batch` must be a multiple of `batch_size`, {self.batch_size}, with `mixup`, which pairs "
                f"the images of a pass, got {self.micro_batch}"
            )

    def parts(self, step: int, n_of_step: int, index: int) -> Iterator[Part]:
        """What pass `index` of a step here has of the recipe's passes, in order; both are counted from 0."""
        here, behind = index * self.micro_batch, min((index + 1) * self.micro_batch, n_of_step)
        while here < behind:
            of_step = here // self.batch_size
            first = of_step * self.batch_size
            n = min(self.batch_size, n_of_step - first)
            stop = min(behind, first + n)
            yield Part(number=step * self.accumulation + of_step, n=n, start=here - first, stop=stop - first)
            here = stop


def mirrored(asked: Mirroring, parts: list[Part]) -> tuple[Tensor | None, Tensor | None]:
    """Which images of a pass are mirrored left-right, and which top-bottom; None for what is not asked for."""
    drawn = [[_cut(way, part) for way in mirrors(asked, part.n, part.number)] for part in parts]
    left_right, top_bottom = (_joined(list(ways)) for ways in zip(*drawn, strict=True))
    return left_right, top_bottom


def paired(mixup: Mixup, parts: list[Part]) -> Pairing:
    """Who is blended with whom in a pass of whole parts."""
    return side_by_side([mixup.pairing(part.n, part.number) for part in parts])


def _cut(way: Tensor | None, part: Part) -> Tensor | None:
    return None if way is None else way[part.start : part.stop]


def _joined(ways: list[Tensor | None]) -> Tensor | None:
    found = [way for way in ways if way is not None]
    return torch.cat(found) if found else None
