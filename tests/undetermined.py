"""A model that needs an operation which PyTorch has no deterministic kernel for, on a CPU either."""

import contextlib
from collections.abc import Iterator
from unittest.mock import patch

import torch

from dermtune.pixels import PixelPipeline


@contextlib.contextmanager
def undetermined() -> Iterator[None]:
    """Inside, each backward pass ends with such an operation, of no consequence: the strict are refused there."""
    mirror = PixelPipeline.mirror

    def last_of_all(gradient):
        torch.zeros(2).put_(torch.tensor([0, 1]), torch.ones(2))

    def needing(self, pixels, ways):
        shown = mirror(self, pixels, ways).requires_grad_()
        shown.register_hook(last_of_all)
        return shown

    with patch.object(PixelPipeline, "mirror", needing):
        yield
