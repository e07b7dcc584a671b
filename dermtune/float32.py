"""A classifier that computes in float32 whatever the backbone computes in."""

import contextlib

import torch
from torch import Tensor, nn

from dermtune.model import HEAD


def without_autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Inside, products are of the precision of their factors."""
    if torch.amp.autocast_mode.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()


class Float32Linear(nn.Linear):
    """A linear layer, its parameters another one's, that autocast does not touch.

    Logits in bfloat16 have eight bits: of thousands of images many tie, in ranks and in confidences. The layer is a
    few parts in a million of a step's work.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight = layer.weight
        self.bias = layer.bias

    def forward(self, features: Tensor) -> Tensor:
        """Logits [B, K], float32, of features [B, D]."""
        with without_autocast(features.device):
            return super().forward(features.float())


def classify_in_float32(model: nn.Module) -> None:
    """Make every linear layer of the model's classifier a `Float32Linear` of the same parameters, in place."""
    for name, part in list(model.named_modules()):
        if (name == HEAD or name.startswith(f"{HEAD}.")) and type(part) is nn.Linear:
            model.set_submodule(name, Float32Linear(part))
