"""What a head sees at each step: the images that the Trainer would show it, mirrored as it would mirror them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermtune.config import TrainingConfig
from dermtune.curriculum import Curriculum
from dermtune.frozen.features import Floats, View
from dermtune.pixels import mirrors
from dermtune.plan import Trial
from dermtune.sampling import PowerSampler

_LANES = 32
"""Batches are filled up to a multiple of this, so that each head's numbers begin where a vector begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """Which mirrors a trial uses, by its seed; what `dermtune.pixels.mirrors` asks of a pipeline."""

    hflip: bool
    vflip: bool
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamKey:
    """What the order of images and their views depend on, beside what all trials of a bundle share."""

    seed: int
    sampler_power: float
    sampler_schedule: str

    @classmethod
    def of(cls, trial: Trial) -> "StreamKey":
        """The trial's."""
        levers = trial.config.levers
        return cls(seed=trial.seed, sampler_power=levers.sampler_power, sampler_schedule=levers.sampler_schedule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one optimiser step sees, of every stream."""

    features: Sequence[Tensor]
    """By stream, [B', D]; rows behind the first `n` fill it up."""
    labels: Tensor
    """[S, B']."""
    n: int
    """Images that count."""


class Streams:
    """The orders of images that a bundle's trials see."""

    def __init__(
        self, trials: Sequence[Trial], curricula: Sequence[Curriculum], train: Mapping[View, Floats],
        labels: NDArray[np.int64], device: torch.device,
    ) -> None:  # fmt: skip
        """The distinct streams of the trials, in the order in which they come; `curricula` are the trials'."""
        self._training: TrainingConfig = trials[0].config.training
        self._labels = labels
        self._device = device
        self._bank = _bank(train, device)
        self._samplers: dict[StreamKey, PowerSampler] = {}
        for trial, curriculum in zip(trials, curricula, strict=True):
            key = StreamKey.of(trial)
            if key not in self._samplers:
                self._samplers[key] = PowerSampler(labels, key.sampler_power, key.seed, curriculum.progress)

    def number(self, trial: Trial) -> int:
        """Which stream the trial sees."""
        return list(self._samplers).index(StreamKey.of(trial))

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps; the last may see fewer images."""
        passes = -(-len(self._labels) // self._training.batch_size)
        return -(-passes // self._training.accumulation)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, numbered from 0."""
        orders = []
        for sampler in self._samplers.values():
            sampler.set_epoch(epoch)
            orders.append(np.fromiter(sampler, dtype=np.intp, count=len(sampler)))
        size = self._training.batch_size * self._training.accumulation
        for step in range(self.steps_per_epoch):
            chosen = [order[step * size : (step + 1) * size] for order in orders]
            yield self._batch(chosen, epoch * self.steps_per_epoch + step)

    def _batch(self, chosen: Sequence[NDArray[np.intp]], step: int) -> Batch:
        n = len(chosen[0])
        filled = [np.concatenate([rows, np.zeros(-n % _LANES, np.intp)]) for rows in chosen]
        seen: dict[int, NDArray[np.int8]] = {}
        features = []
        for key, rows in zip(self._samplers, filled, strict=True):
            if key.seed not in seen:
                seen[key.seed] = self._views(key.seed, n, len(rows), step)
            features.append(self._gathered(rows, seen[key.seed]))
        labels = torch.from_numpy(self._labels[np.stack(filled)]).to(self._device)
        return Batch(features=features, labels=labels, n=n)

    def _views(self, seed: int, n: int, n_filled: int, step: int) -> NDArray[np.int8]:
        """The view of each image of a step, 1 for left-right plus 2 for top-bottom, drawn a pass at a time."""
        training = self._training
        asked = Mirrored(hflip=training.hflip, vflip=training.vflip, seed=seed)
        view = np.zeros(n_filled, np.int8)
        for i, start in enumerate(range(0, n, training.batch_size)):
            here = view[start : min(start + training.batch_size, n)]
            drawn = mirrors(asked, len(here), step * training.accumulation + i)
            for weight, mirrored in zip((1, 2), drawn, strict=True):
                if mirrored is not None:
                    here += weight * mirrored.numpy().astype(np.int8)
        return view

    def _gathered(self, rows: NDArray[np.intp], view: NDArray[np.int8]) -> Tensor:
        if isinstance(self._bank, Tensor):
            where = torch.from_numpy(view.astype(np.int64) * len(self._labels) + rows)
            return self._bank[where.to(self._device)]
        gathered = np.empty((len(rows), self._bank[0].shape[1]), np.float32)
        for number in np.unique(view):
            of_view = view == number
            gathered[of_view] = self._bank[number][rows[of_view]]
        return torch.from_numpy(gathered)


def _bank(train: Mapping[View, Floats], device: torch.device) -> Tensor | Mapping[int, Floats]:
    """The features by the number of their view: on a GPU all of them in its memory, [views N, D]."""
    # Plain arrays over the maps' memory: a map looks after itself at every index.
    by_number = {view.hflip + 2 * view.vflip: np.asarray(features) for view, features in train.items()}
    if device.type == "cpu":
        return by_number
    first = next(iter(by_number.values()))
    whole = torch.zeros((max(by_number) + 1, *first.shape), device=device)
    for number, features in by_number.items():
        whole[number] = torch.from_numpy(cast(Any, features))
    return whole.flatten(0, 1)
