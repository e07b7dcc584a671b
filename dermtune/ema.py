"""The running mean of a model's weights over its training, judged and served in their stead."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

FILE = "average.safetensors"
"""Name of the mean in a checkpoint."""


class WeightAverage:
    """An exponential moving average of all weights and running statistics, by torch's `AveragedModel`.

    mean <- d mean + (1 - d) weights after each optimiser step t = 1, 2, ..., which begins at the weights after the
    first, with d = min(decay, (1 + t) / (10 + t)): in a short training too it forgets where it came from (as
    TensorFlow's `ExponentialMovingAverage` with `num_updates`; Tarvainen and Valpola 2017, arXiv:1703.01780).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        def mean(averaged: Tensor, weights: Tensor, n_averaged: Tensor | int) -> Tensor:
            if not weights.is_floating_point():
                return weights  # a count, of batches
            n = int(n_averaged)
            return averaged.lerp(weights, 1 - min(decay, (1 + n) / (10 + n)))

        self._averaged = AveragedModel(model, avg_fn=mean, use_buffers=True)

    def update(self, model: nn.Module) -> None:
        """Take in the weights after an optimiser step."""
        self._averaged.update_parameters(model)

    @contextlib.contextmanager
    def standing_in(self, model: nn.Module) -> Iterator[None]:
        """Inside, the model has the mean for its weights; after it has its own again, bit for bit."""
        self._exchange(model)
        try:
            yield
        finally:
            self._exchange(model)

    def save(self, checkpoint: Path) -> None:
        """Write the mean, and how many weights are in it, into a checkpoint's folder."""
        save_file(
            {name: value.contiguous() for name, value in self._averaged.state_dict().items()}, checkpoint / FILE
        )

    def load(self, checkpoint: Path) -> None:
        """Go on from the mean of a checkpoint."""
        self._averaged.load_state_dict(load_file(checkpoint / FILE))

    def _exchange(self, model: nn.Module) -> None:
        for ours, theirs in zip(_tensors(self._averaged.module), _tensors(model), strict=True):
            ours.data, theirs.data = theirs.data, ours.data


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(model.parameters(), model.buffers())
