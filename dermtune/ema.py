"""The running mean of a model's weights over its training, judged and served in their stead."""

import contextlib
import copy
import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FILE = "average.safetensors"
"""Name of the mean in a checkpoint."""


class WeightAverage:
    """An exponential moving average of all weights and running statistics.

    mean <- d mean + (1 - d) weights after each optimiser step t = 1, 2, ..., which begins at the weights after the
    first, with d = min(decay, (1 + t) / (10 + t)): in a short training too it forgets where it came from (as
    TensorFlow's `ExponentialMovingAverage` with `num_updates`; Tarvainen and Valpola 2017, arXiv:1703.01780).
    A file holds what the state of torch's `AveragedModel` does, which would send its count to the device and read
    it back at every step, and so wait for a GPU.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._mean = copy.deepcopy(model)
        self._n = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after an optimiser step."""
        mean, weights = [*_tensors(self._mean)], [*_tensors(model)]
        blended = [i for i, tensor in enumerate(mean) if self._n and tensor.is_floating_point()]
        for i in {*range(len(mean))}.difference(blended):  # the first weights, and counts of batches
            mean[i].copy_(weights[i])
        if blended:
            keep = min(self._decay, (1 + self._n) / (10 + self._n))
            torch._foreach_lerp_([mean[i] for i in blended], [weights[i] for i in blended], 1 - keep)
        self._n += 1

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
        mean = {f"{_MEAN}{name}": value.contiguous() for name, value in self._mean.state_dict().items()}
        save_file({_COUNT: torch.tensor(self._n), **mean}, checkpoint / FILE)

    def load(self, checkpoint: Path) -> None:
        """Go on from the mean of a checkpoint."""
        kept = load_file(checkpoint / FILE)
        self._n = int(kept.pop(_COUNT))
        self._mean.load_state_dict({name.removeprefix(_MEAN): value for name, value in kept.items()})

    def _exchange(self, model: nn.Module) -> None:
        for ours, theirs in zip(_tensors(self._mean), _tensors(model), strict=True):
            ours.data, theirs.data = theirs.data, ours.data


_COUNT, _MEAN = "n_averaged", "module."


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(model.parameters(), model.buffers())
