"""Which of a model's weights a trial trains; all others stay what they were, running statistics among them."""

from typing import Any

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel

from dermtune.config import ConfigError
from dermtune.levers import Levers
from dermtune.model import HEAD


def tune(model: PreTrainedModel, levers: Levers) -> None:
    """Leave trainable what the levers name, in place.

    Raises ConfigError where the model has no attention for `lora`, or too few blocks for `last_k`.
    """
    if levers.tuning == "head":
        _train_only(model, _of_head(model))
    elif levers.tuning == "last_k":
        _train_only(model, _from_block(model, levers.tuned_blocks))
    elif levers.tuning == "lora":
        _train_only(model, _of_head(model) | _adapters(model, levers))


def merge_adapters(model: PreTrainedModel) -> None:
    """Add each adapter's update to the layer that it adapts, in place: the model is a plain one again."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            model.set_submodule(name, layer.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config


def _of_head(model: nn.Module) -> set[str]:
    return {name for name, _ in model.named_parameters() if name.startswith(f"{HEAD}.")}


def _from_block(model: PreTrainedModel, k: int) -> set[str]:
    """Parameters of the last `k` blocks and of all that comes behind them, in the model's own order."""
    name, n_blocks = blocks(model)
    if k > n_blocks:
        raise ConfigError(f"`tuned_blocks` must be at most {n_blocks} with this {model.config.model_type}, got {k}")
    parameters = [parameter for parameter, _ in model.named_parameters()]
    first = next(i for i, p in enumerate(parameters) if p.startswith(f"{name}.{n_blocks - k}."))
    return {*parameters[first:]}


def blocks(model: PreTrainedModel, wanted: str = "`tuning` must not be 'last_k'") -> tuple[str, int]:
    """Name and length of the list that the backbone's blocks stand in: of the outermost lists, the largest.

    Raises ConfigError where it has none, for what is `wanted`.
    """
    lists = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.ModuleList)]
    if not lists:
        raise ConfigError(f"{wanted} with {model.config.model_type}, which has no blocks")
    outermost = [one for one in lists if not any(one[0].startswith(f"{other}.") for other, _ in lists)]
    name, found = max(outermost, key=lambda one: sum(p.numel() for p in one[1].parameters()))
    return name, len(found)


def _adapters(model: PreTrainedModel, levers: Levers) -> set[str]:
    """Put an adapter beside each projection of the attention; names of the adapters' parameters.

    W + (alpha / r) B A with B zero at first, so that training starts from the model as it is (Hu et al. 2022,
    arXiv:2106.09685, equation 3; all four projections, as their section 7.1 finds best).
    """
    projections = [name for name, part in model.named_modules() if type(part) is nn.Linear and _in_attention(name)]
    if not projections:
        raise ConfigError(f"`tuning` must not be 'lora' with {model.config.model_type}, which has no attention")
    before = {name for name, _ in model.named_parameters()}
    config = LoraConfig(r=levers.lora_rank, lora_alpha=levers.lora_alpha, target_modules=projections)
    inject_adapter_in_model(config, model)
    return {name for name, _ in model.named_parameters() if name not in before and ".lora_" in name}


def _in_attention(name: str) -> bool:
    return any("attn" in part or "attention" in part for part in name.split(".")[:-1])


def _train_only(model: nn.Module, trained: set[str]) -> None:
    """Freeze all other parameters: no gradient reaches them, and what has none to train runs as in evaluation."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    _hold_still(model)


def _hold_still(module: nn.Module) -> None:
    """Hook the outermost parts that have parameters and train none of them."""
    for part in module.children():
        trained = [parameter.requires_grad for parameter in part.parameters()]
        if trained and not any(trained):
            part.register_forward_pre_hook(_in_evaluation)
        elif trained:
            _hold_still(part)


def _in_evaluation(module: nn.Module, inputs: Any) -> None:  # noqa: ARG001 torch's signature
    """The Trainer puts the whole model into training mode at every step; dropout and batch statistics must not."""
    module.eval()
