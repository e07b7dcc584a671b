"""A classifier that compares directions alone, which LDAM's margins are measured in."""

from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from dermtune.config import ConfigError
from dermtune.float32 import without_autocast
from dermtune.losses import LDAM_SCALE
from dermtune.model import HEAD


class CosineLinear(nn.Linear):
    """Logits s cos(x, w_c): a linear layer of normalised features and weights, without a bias.

    The reference implementation's `NormedLinear` times s. The bias stays zero and is there for the file: a model
    that was trained so is stored and loaded like any other, and made to compare directions again.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, device=layer.weight.device)
        self.weight = layer.weight
        self.bias.requires_grad_(False).zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Logits [B, K], float32, of features [B, D]."""
        with without_autocast(features.device):
            directions = functional.normalize(features.float(), dim=-1)
            return LDAM_SCALE * functional.linear(directions, functional.normalize(self.weight, dim=-1))


def compare_directions(model: PreTrainedModel) -> None:
    """Make the model's classifier a cosine classifier of the same weights, in place.

    Raises ConfigError where it is more than one linear layer.
    """
    layers = [name for name, part in model.named_modules() if _in_head(name) and isinstance(part, nn.Linear)]
    if len(layers) != 1:
        raise ConfigError(
            f"`ldam` must go with a model whose `{HEAD}` has one linear layer, got {len(layers)} in "
            f"{model.config.model_type}"
        )
    layer = model.get_submodule(layers[0])
    assert isinstance(layer, nn.Linear)
    model.set_submodule(layers[0], CosineLinear(layer))


def _in_head(name: str) -> bool:
    return name == HEAD or name.startswith(f"{HEAD}.")
