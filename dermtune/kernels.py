"""How a model computes what it computes: which attention it runs, and whether its blocks are compiled."""

from typing import Any, cast

from transformers import PreTrainedModel

from dermtune.config import ConfigError, TrainingConfig
from dermtune.tuning import blocks

COMPILER = "inductor"
"""torch.compile's backend."""


def check_kernels(model: PreTrainedModel, training: TrainingConfig) -> None:
    """Raises ConfigError where the architecture lacks what is asked for; what this machine has is not looked at."""
    supported = {"flash_attention_2": model._supports_flash_attn, "sdpa": model._supports_sdpa}
    wanted = training.attention
    if wanted != "auto" and not (supported.get(wanted, True) and _chooses(model)):
        raise ConfigError(f"`attention` must be 'auto' with {model.config.model_type}, got {wanted!r}")
    if training.compile:
        blocks(model, "`compile` must be False")


def use_kernels(model: PreTrainedModel, training: TrainingConfig) -> None:
    """Have the model run what is asked for, in place. Raises ConfigError where this machine has no such attention.

    Blocks are compiled one by one: they are alike, so that one compilation serves all, and the classifier is left
    as it is. `TrainingArguments.torch_compile` would compile the whole and turn on TF32 for every float32 product
    of the process, of later trials too.
    """
    if training.attention != "auto":
        try:
            model.set_attn_implementation(training.attention)
        except (ImportError, ValueError) as error:
            said = " ".join(str(error).split())
            raise ConfigError(f"`attention` = {training.attention!r} cannot be had here: {said}") from None
    if training.compile:
        name, _ = blocks(model)
        for block in cast(Any, model.get_submodule(name)):
            block.compile(backend=COMPILER)


def _chooses(model: PreTrainedModel) -> bool:
    """Whether the architecture has attention that goes through transformers' choice."""
    return bool(model._supports_sdpa and model._can_set_attn_implementation())
