"""How a model computes what it computes: which attention it runs, and whether its blocks are compiled."""

import warnings
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from dermtune.config import ConfigError, TrainingConfig
from dermtune.device import in_bfloat16, refuse_if_strict
from dermtune.tuning import blocks

COMPILER = "inductor"
"""torch.compile's backend."""
GRAPHS = 64
"""Graphs of a block at most: one for each number of images that a pass holds, for each way in which it trains."""
SDPA: Mapping[str, SDPBackend] = {
    "sdpa_flash": SDPBackend.FLASH_ATTENTION,
    "sdpa_efficient": SDPBackend.EFFICIENT_ATTENTION,
    "sdpa_cudnn": SDPBackend.CUDNN_ATTENTION,
}
"""`attention` that is one kernel of PyTorch's `scaled_dot_product_attention`, whichever that would choose."""


def check_kernels(model: PreTrainedModel, training: TrainingConfig) -> None:
    """Raises ConfigError where the architecture lacks what is asked for; what this machine has is not looked at."""
    of_sdpa = dict.fromkeys(("sdpa", *SDPA), model._supports_sdpa)
    supported = {"flash_attention_2": model._supports_flash_attn, **of_sdpa}
    wanted = training.attention
    if wanted != "auto" and not (supported.get(wanted, True) and _chooses(model)):
        raise ConfigError(f"`attention` must be 'auto' with {model.config.model_type}, got {wanted!r}")
    if wanted == "flash_attention_2" and training.precision == "float32":
        raise ConfigError("`precision` must not be 'float32' with `attention` 'flash_attention_2', which has none")
    if training.compile:
        blocks(model, "`compile` must be False")


def use_kernels(model: PreTrainedModel, training: TrainingConfig) -> None:
    """Have the model run what is asked for, in place. Raises ConfigError where this machine has no such attention.

    Blocks are compiled one by one: they are alike, so that one compilation serves all, and the classifier is left
    as it is. `TrainingArguments.torch_compile` would compile the whole and turn on TF32 for every float32 product
    of the process, of later trials too. What the process compiled before is forgotten, and each number of images
    has a graph of its own: else a pass would run one that depends on the passes before it, and a trial that was
    resumed would end with other bits.
    """
    if training.attention != "auto":
        _attend_by(model, training)
    if training.compile:
        torch.compiler.reset()
        name, _ = blocks(model)
        for block in cast(Any, model.get_submodule(name)):
            block.compile(backend=COMPILER, dynamic=False, recompile_limit=GRAPHS)


def _attend_by(model: PreTrainedModel, training: TrainingConfig) -> None:
    wanted = training.attention
    try:
        model.set_attn_implementation(_one_of_sdpa(SDPA[wanted], training) if wanted in SDPA else wanted)
    except (ImportError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"`attention` = {wanted!r} cannot be had here: {said}") from None


def _one_of_sdpa(kernel: SDPBackend, training: TrainingConfig) -> str:
    """Name by which transformers knows its `sdpa` with this kernel alone. Raises ValueError where it does not run.

    The name must not have "flash" in it, which stands for the package of that name there.
    """
    if kernel is SDPBackend.CUDNN_ATTENTION and torch.cuda.is_available():
        refuse_if_strict("cuDNN's attention")
    _try_out(kernel, training)

    def attend(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, None]:
        with sdpa_kernel(kernel):
            return sdpa_attention_forward(*args, **kwargs)

    name = f"sdpa_kernel_{int(cast(Any, kernel))}"
    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, AttentionMaskInterface()["sdpa"])
    return name


def _try_out(kernel: SDPBackend, training: TrainingConfig) -> None:
    """Run it once on zeros, 64 wide. Raises ValueError with what PyTorch says against it."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if in_bfloat16(training) else torch.float32
    zeros = torch.zeros(1, 1, 8, 64, device=device, dtype=dtype)
    with warnings.catch_warnings(record=True) as said, sdpa_kernel(kernel):
        warnings.simplefilter("always")
        try:
            scaled_dot_product_attention(zeros, zeros, zeros)
        except RuntimeError as error:
            raise ValueError(" ".join([str(error), *(str(one.message) for one in said)])) from None


def _chooses(model: PreTrainedModel) -> bool:
    """Whether the architecture has attention that goes through transformers' choice."""
    return bool(model._supports_sdpa and model._can_set_attn_implementation())
