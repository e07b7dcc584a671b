"""Image classifiers: built from a config with fresh weights, or fine-tuned from a checkpoint."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    StrictDataclassError,
)
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    PretrainedConfig,
    PreTrainedModel,
    SiglipForImageClassification,
)
from transformers.modeling_outputs import ImageClassifierOutput

from dermtune.config import ModelConfig, UserError

HEAD = "classifier"
"""The module that maps features to classes, as transformers' image classifiers name it."""


class ModelError(UserError):
    """A model that cannot be had; the message says what to do about it."""


class SiglipMapClassifier(SiglipForImageClassification):
    """Siglip whose attention-pooling head, trained with the backbone, feeds the classifier."""

    def forward(self, pixel_values: Tensor, **kwargs: Any) -> ImageClassifierOutput:
        """Logits [B, K] of images [B, 3, H, W]."""
        pooled = self.vision_model(pixel_values, **kwargs).pooler_output
        return ImageClassifierOutput(logits=self.classifier(pooled))


def build_model(config: ModelConfig, classes: tuple[str, ...]) -> PreTrainedModel:
    """A float32 classifier over `classes`; fresh weights come from torch's global generator, so seed it before.

    From a checkpoint comes the whole backbone, never the head: every seed draws its own. Raises ModelError where a
    checkpoint cannot be read or lacks a part of the backbone, with what to do.
    """
    hf_config = describe_model(config, classes)
    model = _fresh(hf_config, config) if config.checkpoint is None else _fine_tuned(hf_config, config)
    # The loss is ours: the Trainer must not hand its item count to the model.
    object.__setattr__(model, "accepts_loss_kwargs", False)
    return model


def weightless_model(hf_config: Any, config: ModelConfig) -> PreTrainedModel:
    """The classifier that `describe_model` describes, on torch's meta device: its parts and shapes, no weights."""
    with torch.device("meta"):
        return _fresh(hf_config, config)


def describe_model(config: ModelConfig, classes: tuple[str, ...]) -> Any:
    """The transformers config of the classifier; a driver asks for it before trials start, to fail early.

    Raises ModelError where the settings are no such architecture's, or the checkpoint cannot be had.
    """
    hf_config = _built(config) if config.checkpoint is None else _loaded(config.checkpoint, config.revision)
    _describe_head(hf_config, config, classes)
    _classifier_class(hf_config, config)
    return hf_config


def check_image_size(hf_config: Any, side: int) -> None:
    """Raises ModelError where the model's position embeddings are for images of another size."""
    if hf_config.model_type == "siglip" and hf_config.vision_config.image_size != side:
        raise ModelError(
            f"`image_size` of the data must be the model's, {hf_config.vision_config.image_size}, got {side}"
        )


def _built(config: ModelConfig) -> Any:
    architecture = str(config.architecture)
    try:
        known = AutoConfig.for_model(architecture)
        hf_config = AutoConfig.for_model(architecture, **config.settings)
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise _settings_error(config, error) from None
    _refuse_unknown(config.settings, known, "settings")
    return hf_config


def _refuse_unknown(settings: Mapping[str, Any], known: PretrainedConfig, where: str) -> None:
    """Refuse a misspelt setting: transformers would take it along and never read it."""
    for name, value in settings.items():
        if not hasattr(known, name):
            raise ModelError(f"`{where}` must be arguments of {type(known).__name__}, got {name!r}")
        nested = getattr(known, name)
        if isinstance(nested, PretrainedConfig):
            _refuse_unknown(value, nested, f"{where}.{name}")


def _loaded(checkpoint: str, revision: str | None) -> Any:
    try:
        return AutoConfig.from_pretrained(_expanded(checkpoint), revision=revision, trust_remote_code=False)
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise ModelError(_what_to_do(checkpoint, error)) from None


def _fresh(hf_config: Any, config: ModelConfig) -> PreTrainedModel:
    try:
        model: PreTrainedModel = _classifier_class(hf_config, config)._from_config(hf_config)
    except (ValueError, TypeError) as error:
        raise _settings_error(config, error) from None
    return model


def _fine_tuned(hf_config: Any, config: ModelConfig) -> PreTrainedModel:
    checkpoint = str(config.checkpoint)
    model: PreTrainedModel
    try:
        model, loaded = _classifier_class(hf_config, config).from_pretrained(
            _expanded(checkpoint),
            config=hf_config,
            revision=config.revision,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, HfHubHTTPError, SafetensorError) as error:
        raise ModelError(_what_to_do(checkpoint, error)) from None
    fresh = {*loaded["missing_keys"], *(name for name, *_ in loaded["mismatched_keys"])}
    _require_backbone(model, fresh, checkpoint)
    _renew_head(model, fresh)
    return model


def _require_backbone(model: PreTrainedModel, fresh: set[str], checkpoint: str) -> None:
    """A layer that the checkpoint lacks would start from noise, unseen: that is no fine-tuning."""
    lacking = [name for name, _ in model.named_parameters() if name in fresh and not _of_head(name)]
    if lacking:
        raise ModelError(
            f"{checkpoint} must hold weights of the model's shapes for all but its `{HEAD}`, "
            f"{len(lacking)} are missing or of another shape: {textwrap.shorten(', '.join(lacking), 120)}"
        )


def _renew_head(model: PreTrainedModel, fresh: set[str]) -> None:
    """Redraw a head that came with the checkpoint: it knows other classes, and every seed needs its own."""
    if not fresh.issuperset(name for name, _ in model.named_parameters() if _of_head(name)):
        for layer in model.get_submodule(HEAD).modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()


def _of_head(parameter: str) -> bool:
    return parameter.startswith(f"{HEAD}.")


def _describe_head(hf_config: Any, config: ModelConfig, classes: tuple[str, ...]) -> None:
    hf_config.id2label = dict(enumerate(classes))
    hf_config.label2id = {name: index for index, name in enumerate(classes)}
    if hf_config.model_type == "siglip":
        # Mean pooling never reads the attention-pooling head: without it nothing runs idle and no weight is unused.
        hf_config.vision_config.vision_use_head = config.pooling == "map"


def _classifier_class(hf_config: Any, config: ModelConfig) -> Any:
    if hf_config.model_type == "siglip":
        return SiglipMapClassifier if config.pooling == "map" else SiglipForImageClassification
    if config.pooling == "map":
        raise ModelError(f"`pooling` = 'map' must go with a siglip model, got {hf_config.model_type!r}")
    try:
        found = AutoModelForImageClassification._model_mapping[type(hf_config)]
    except KeyError:
        raise ModelError(
            f"the model must be of a type with an image classifier in transformers, such as siglip, resnet or vit, "
            f"got {hf_config.model_type!r}"
        ) from None
    return found[0] if isinstance(found, tuple) else found


def _settings_error(config: ModelConfig, error: Exception) -> ModelError:
    return ModelError(
        f"`architecture` must be a transformers model type and `settings` its config's arguments, "
        f"got {config.architecture!r} with {dict(config.settings)!r}: {_brief(error)}"
    )


def _what_to_do(checkpoint: str, error: Exception) -> str:
    if _is_path(checkpoint):
        there = Path(checkpoint).expanduser().is_dir()
        return (
            f"{checkpoint} must be a folder with config.json and weights as safetensors, never pickled: "
            f"{_brief(error) if there else 'there is no such folder'}"
        )
    page = f"https://huggingface.co/{checkpoint}"
    causes = _chain(error)
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        return (
            f"{checkpoint} is gated: accept its licence at {page}, "
            f"then put a read token into the environment variable HF_TOKEN"
        )
    if any(isinstance(cause, RepositoryNotFoundError) for cause in causes):
        return (
            f"{checkpoint} must be a hub id that HF_TOKEN may read, or a local folder: check {page} and, for a "
            f"gated model, its licence and the token in HF_TOKEN"
        )
    if any(isinstance(cause, LocalEntryNotFoundError) for cause in causes):
        return (
            f"{checkpoint} is not on this machine and the hub cannot be reached: go online with its licence "
            f"accepted at {page} and a token in HF_TOKEN, or name a local folder with its config.json and weights"
        )
    return f"{checkpoint} cannot be loaded: {_brief(error)} (see {page}; a gated model needs HF_TOKEN)"


def _is_path(checkpoint: str) -> bool:
    """Whether it names a folder, there or not: a hub id is `name` or `owner/name`."""
    return Path(checkpoint).expanduser().is_dir() or checkpoint[:1] in ("/", ".", "~") or checkpoint.count("/") > 1


def _expanded(checkpoint: str) -> str:
    return str(Path(checkpoint).expanduser()) if checkpoint.startswith("~") else checkpoint


def _brief(error: Exception) -> str:
    return textwrap.shorten(str(error), 240, placeholder=" ...")


def _chain(error: BaseException | None) -> list[BaseException]:
    chain = []
    while error is not None:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
