"""Image classifiers: built from a config with fresh weights, or fine-tuned from a checkpoint."""

from typing import Any

import torch
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageClassification, PreTrainedModel, SiglipForImageClassification
from transformers.modeling_outputs import ImageClassifierOutput

from dermtune.config import ModelConfig, UserError


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

    Raises ModelError where a checkpoint cannot be read, with what to do.
    """
    hf_config = describe_model(config, classes)
    model = _fresh(hf_config, config) if config.checkpoint is None else _fine_tuned(hf_config, config)
    model.accepts_loss_kwargs = False  # the loss is ours: the Trainer must not hand its item count to the model
    return model


def describe_model(config: ModelConfig, classes: tuple[str, ...]) -> Any:
    """The transformers config of the classifier; a driver asks for it before trials start, to fail early.

    Raises ModelError where the settings are no such architecture's, or the checkpoint cannot be had.
    """
    hf_config = _built(config) if config.checkpoint is None else _loaded(config)
    _describe_head(hf_config, config, classes)
    _classifier_class(hf_config, config)
    return hf_config


def _built(config: ModelConfig) -> Any:
    try:
        return AutoConfig.for_model(config.architecture, **config.settings)
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"`architecture` must be a transformers model type and `settings` its config's arguments, "
            f"got {config.architecture!r} with {dict(config.settings)!r}: {error}"
        ) from None


def _loaded(config: ModelConfig) -> Any:
    try:
        return AutoConfig.from_pretrained(config.checkpoint, revision=config.revision)
    except (OSError, HfHubHTTPError) as error:
        raise ModelError(_what_to_do(str(config.checkpoint), error)) from None


def _fresh(hf_config: Any, config: ModelConfig) -> PreTrainedModel:
    model: PreTrainedModel = _classifier_class(hf_config, config)._from_config(hf_config)
    return model


def _fine_tuned(hf_config: Any, config: ModelConfig) -> PreTrainedModel:
    try:
        model: PreTrainedModel = _classifier_class(hf_config, config).from_pretrained(
            config.checkpoint,
            config=hf_config,
            revision=config.revision,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
        )
    except (OSError, HfHubHTTPError) as error:
        raise ModelError(_what_to_do(str(config.checkpoint), error)) from None
    return model


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
    return AutoModelForImageClassification._model_mapping[type(hf_config)]


def _what_to_do(checkpoint: str, error: Exception) -> str:
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
    first_line = str(error).strip().splitlines()[0]
    return f"{checkpoint} cannot be loaded: {first_line} (see {page}; a gated model needs HF_TOKEN)"


def _chain(error: BaseException | None) -> list[BaseException]:
    chain = []
    while error is not None:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
