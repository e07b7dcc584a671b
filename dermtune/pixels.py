"""From decoded bytes to what the model reads, on the device that the model is on."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dermtune.config import ModelConfig, TrainingConfig
from dermtune.sampling import step_generator
from dermtune.sending import sent


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelPipeline:
    """Normalisation and mirror augmentation of batches of uint8 images."""

    mean: Tensor
    """Channel means of pixels in [0, 1], [3, 1, 1]."""
    std: Tensor
    """Channel standard deviations, [3, 1, 1]."""
    hflip: bool
    vflip: bool
    channels_last: bool
    seed: int

    def normalise(self, images: Tensor) -> Tensor:
        """Float images [B, 3, H, W] from uint8 [B, H, W, 3], on the same device."""
        pixels = images.permute(0, 3, 1, 2).float().div_(255)
        pixels = pixels.sub_(sent(self.mean, pixels.device)).div_(sent(self.std, pixels.device))
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return pixels.contiguous(memory_format=layout)

    def mirror(self, pixels: Tensor, ways: tuple[Tensor | None, Tensor | None]) -> Tensor:
        """The batch with these images mirrored left-right, and these top-bottom; None for none."""
        for dim, mirrored in zip((3, 2), ways, strict=True):
            if mirrored is not None:
                chosen = sent(mirrored, pixels.device)[:, None, None, None]
                pixels = torch.where(chosen, pixels.flip(dim), pixels)
        return pixels


class Mirroring(Protocol):
    """What says which mirrors a trial uses."""

    @property
    def hflip(self) -> bool:
        """Whether left-right."""

    @property
    def vflip(self) -> bool:
        """Whether top-bottom."""

    @property
    def seed(self) -> int:
        """The trial's."""


def mirrors(asked: Mirroring, n: int, step: int) -> tuple[Tensor | None, Tensor | None]:
    """Which of `n` images are mirrored left-right, and which top-bottom, [n] each; None for what is not asked for.

    Decided by (seed, step) alone; asking for one mirror changes nothing in the other.
    """
    generator = step_generator(asked.seed, step)
    left_right, top_bottom = (torch.rand(n, generator=generator) < 0.5 for _ in range(2))
    return left_right if asked.hflip else None, top_bottom if asked.vflip else None


def pipeline_for(model: ModelConfig, training: TrainingConfig, seed: int) -> PixelPipeline:
    """The pipeline that a trial's config asks for."""
    return PixelPipeline(
        mean=torch.tensor(model.pixel_mean).view(3, 1, 1),
        std=torch.tensor(model.pixel_std).view(3, 1, 1),
        hflip=training.hflip,
        vflip=training.vflip,
        channels_last=training.channels_last,
        seed=seed,
    )
