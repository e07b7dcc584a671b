"""The model as a trial's training begins: with the classifier and the frozen parts that its levers ask for."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from dermtune.config import Config, ConfigError, Levers, TrainingConfig, canonical_json
from dermtune.cosine import compare_directions
from dermtune.device import in_bfloat16
from dermtune.float32 import classify_in_float32
from dermtune.flops import Flops, count_flops
from dermtune.kernels import check_kernels, use_kernels
from dermtune.model import build_model, check_image_size, describe_model, weightless_model
from dermtune.passes import Passes
from dermtune.recipes import MicroBatch
from dermtune.tuning import tune


def trainee(config: Config, classes: tuple[str, ...]) -> PreTrainedModel:
    """The model, its weights as `build_model` has them. Raises ModelError, ConfigError."""
    model = build_model(config.model, classes)
    _prepare(model, config)
    if config.training.channels_last:
        cast(Any, model).to(memory_format=torch.channels_last)
    use_kernels(model, config.training)
    return model


def check_trainees(arms: Mapping[str, Config], classes: tuple[str, ...], micro_batch: MicroBatch = None) -> None:
    """Raises what `trainee` would of any arm, by name, without a weight: in the driver, not once a trial.

    The arms have one model, and differ in their levers.
    """
    hf_config = describe_model(next(iter(arms.values())).model, classes)
    for arm, config in arms.items():
        try:
            model = weightless_model(hf_config, config.model)
            _prepare(model, config)
            check_micro_batch(micro_batch, config, model)
        except ConfigError as error:
            raise ConfigError(f"{error} in arm {arm!r}") from None


def flops_of(config: Config, classes: tuple[str, ...]) -> Flops:
    """What an image costs the model as the levers train it, counted once a process. Raises ModelError, ConfigError.

    Whatever else the config says of losses and of the way of computing changes nothing in it.
    """
    shaping = {name: getattr(config.levers, name) for name in ("tuning", "tuned_blocks", "lora_rank", "lora_alpha")}
    levers = Levers(ldam=0.5 if config.levers.ldam else 0.0, **shaping)
    plain = replace(config, levers=levers, training=TrainingConfig(precision="float32"))
    kind = canonical_json([plain.departures(), len(classes)])
    if kind not in _COUNTED:
        with torch.random.fork_rng(devices=[]):  # the trial's own weights are drawn from these numbers
            model = weightless_model(describe_model(plain.model, classes), plain.model)
            _prepare(model, plain)
        _COUNTED[kind] = count_flops(model, plain.data.image_size)
    return _COUNTED[kind]


_COUNTED: dict[str, Flops] = {}
"""By kind of model."""


def check_micro_batch(asked: MicroBatch, config: Config, model: nn.Module) -> None:
    """Raises ConfigError where the model's passes cannot hold what is asked for, as far as can be told here."""
    if asked is None or asked == config.training.batch_size:
        return
    if _learns_statistics(model):
        raise ConfigError(
            f"`micro_batch` must be left to the recipe with a model that learns statistics of a pass, over "
            f"`batch_size` images, by batch normalisation; got {asked!r}"
        )
    if asked != "auto":
        passes = Passes.of(config.training, asked)
        if config.levers.mixup:
            passes.check_pairs()


def _learns_statistics(model: nn.Module) -> bool:
    """Whether a batch normalisation is trained; a frozen one stays as it is."""
    norms = (part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm))
    return any(parameter.requires_grad for norm in norms for parameter in norm.parameters())


def _prepare(model: PreTrainedModel, config: Config) -> None:
    if config.levers.ldam:
        compare_directions(model)
    tune(model, config.levers)
    check_image_size(model.config, config.data.image_size)
    if config.training.gradient_checkpointing and not model.supports_gradient_checkpointing:
        raise ConfigError(f"`gradient_checkpointing` must be False with {model.config.model_type}, which has none")
    check_kernels(model, config.training)
    if in_bfloat16(config.training):
        classify_in_float32(model)
