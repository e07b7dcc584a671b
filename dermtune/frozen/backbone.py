"""A model in two: the frozen backbone, and the one linear layer that a head trial trains."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dermtune.config import Config, ModelConfig
from dermtune.frozen.bundles import Unfit
from dermtune.levers import Levers
from dermtune.model import HEAD, describe_model
from dermtune.trainee import trainee


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A linear layer's weights, float32 on the CPU."""

    weight: Tensor
    """[K, D]."""
    bias: Tensor
    """[K]."""


def starting_model(config: Config, classes: tuple[str, ...]) -> PreTrainedModel:
    """The model that a head trial of this config begins with, whatever else its levers are; seed torch before."""
    plain = Config(data=config.data, model=config.model, training=config.training, levers=Levers(tuning="head"))
    return trainee(plain, classes)


def identity(
    model: ModelConfig, seed: int, classes: tuple[str, ...], fingerprints: Mapping[str, str]
) -> Mapping[str, Any]:
    """What says which weights the backbone has, for a key. Raises Unfit where nothing does, ModelError."""
    about = {"pooling": model.pooling, "classes": list(classes)}
    if model.checkpoint is None:
        return {**about, "architecture": model.architecture, "settings": dict(model.settings), "seed": seed}
    commit = getattr(describe_model(model, classes), "_commit_hash", None)
    if (weights := fingerprints.get("checkpoint") or commit) is None:
        raise Unfit(f"nothing says which weights {model.checkpoint} has")
    return {**about, "weights": weights}


class Backbone:
    """A classifier cut before its head, on the device that trains here."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Raises Unfit where the head is more than one linear layer."""
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = cast(Any, model).to(self.device).eval()
        self._layer = only_linear(model)

    def head(self) -> Head:
        """Its head's weights, copied."""
        weight, bias = (p.detach().cpu().clone() for p in (self._layer.weight, self._layer.bias))
        return Head(weight=weight, bias=bias)

    def features(self, pixels: Tensor, bfloat16: bool) -> Tensor:
        """What the head takes of pixels [B, 3, H, W], float32 [B, D]."""
        taken: list[Tensor] = []
        hook = self._layer.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
                self._model(pixel_values=pixels)
        finally:
            hook.remove()
        return taken[0].flatten(1).float()

    def check(self, pixels: Tensor, bfloat16: bool) -> None:
        """Raises Unfit where training would give other features than evaluation does, by dropout for instance."""
        evaluated = self.features(pixels, bfloat16)
        self._model.train()
        trained = self.features(pixels, bfloat16)
        self._model.eval()
        if not torch.equal(evaluated, trained):
            raise Unfit("its features differ in training and in evaluation")


def only_linear(model: PreTrainedModel) -> nn.Linear:
    """The head's linear layer. Raises Unfit where the head is more than that."""
    leaves = [part for part in model.get_submodule(HEAD).modules() if not list(part.children())]
    layers = [part for part in leaves if isinstance(part, nn.Linear)]
    others = {type(part).__name__ for part in leaves if not isinstance(part, nn.Linear | nn.Flatten | nn.Identity)}
    if len(layers) != 1 or others or layers[0].bias is None:
        raise Unfit(f"its `{HEAD}` is more than a linear layer")
    return layers[0]
