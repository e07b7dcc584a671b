"""Which images an epoch shows, in which order: one seed rules it, and every arm draws from the same stream."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler


def _arrived(epoch: int) -> float:  # noqa: ARG001 the same in every epoch
    return 1.0


class PowerSampler(Sampler[int]):
    """N image indices an epoch with P(image) ~ n_class^-power, hence P(class) ~ n_class^(1 - power).

    Power 0 is a permutation, each image once; above 0 images are drawn with replacement, N of them all the same,
    so that the budget of steps does not depend on the lever. `progress` is how far an epoch is on its way from the
    natural class shares, 0, to those of the power, 1; between them both are mixed. The order is a function of
    (seed, epoch) alone: a trial that goes on from a checkpoint sees what it would have seen.
    """

    def __init__(
        self, labels: NDArray[np.int64], power: float, seed: int, progress: Callable[[int], float] = _arrived
    ) -> None:
        self._power = power
        self._progress = progress
        self._seed = seed
        self._epoch = 0
        self._n = len(labels)
        counts = np.bincount(labels)
        self._weights = torch.from_numpy(counts[labels].astype(np.float64) ** -power)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; the Trainer calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[int]:
        generator = step_generator(self._seed, self._epoch)
        progress = self._progress(self._epoch)
        if self._power == 0 or progress == 0:
            order = torch.randperm(self._n, generator=generator)
        else:
            weights = (1 - progress) * self._weights.mean() + progress * self._weights
            order = torch.multinomial(weights, self._n, replacement=True, generator=generator)
        return iter(order.tolist())


def training_prior(class_counts: NDArray[np.int64], power: float, progress: float = 1.0) -> Tensor:
    """The class prior that training sees under a sampler power, ~ n^(1 - power), [K], float32, summing to one.

    On the way there, where `progress` is below 1, it is mixed with the natural one.
    """
    counts = np.asarray(class_counts, dtype=np.float64)
    mass = counts ** (1 - power)
    shares = (1 - progress) * counts / counts.sum() + progress * mass / mass.sum()
    return torch.from_numpy(shares.astype(np.float32))


def step_generator(seed: int, step: int) -> torch.Generator:
    """A CPU generator for one epoch or one step of one seed, unrelated to its neighbours'."""
    mixed = np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed) >> 1)
