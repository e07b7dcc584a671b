"""All that is not the question: data, backbone, optimiser, resources. Any sweep runs on any recipe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from dermtune.config import Config, ConfigError, DataConfig, ModelConfig, SyntheticConfig, TrainingConfig

MicroBatch = int | Literal["auto"] | None
"""Images that a forward pass holds: so many, as many as a GPU has room for, or as many as `batch_size` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one trial occupies while it trains."""

    cpus: int = 1
    """CPU cores, and torch's threads."""
    gpus: float | None = None
    """GPUs, a fraction to share one; None takes one where the machine has any, else none."""
    processes: int | None = None
    """Processes that train a trial together, with a GPU each or none; None is one for each of its GPUs."""
    micro_batch: MicroBatch = None
    """Images that a forward pass holds, whatever `batch_size` says: an optimiser step keeps its images."""

    def __post_init__(self) -> None:
        got = self.micro_batch
        if got not in (None, "auto") and not (type(got) is int and got >= 1):
            raise ConfigError(f"`micro_batch` must be a whole number of at least 1, 'auto' or None, got {got!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a sweep's trials are trained; a user's own file returns one from `recipe()`."""

    name: str
    config: Config
    """The configuration that a sweep's levers change."""
    data_dir: str | None = None
    """Data folder where `--data` names none; None asks for `--data`."""
    resources: Resources = Resources()
    seconds_per_trial: float | None = None
    """A measured duration, the estimate until this sweep has trials of its own."""
    note: str = ""
    """What a user should know before the first run, and where `seconds_per_trial` was measured."""

    def __post_init__(self) -> None:
        if not self.name.replace("_", "").isalnum():
            raise ConfigError(f"a recipe's name must be letters, digits and _, got {self.name!r}")
        for name, kind in (("config", Config), ("resources", Resources)):
            if not isinstance(got := getattr(self, name), kind):
                raise ConfigError(f"a recipe's `{name}` must be a {kind.__name__}, got {got!r}")


def laptop() -> Recipe:
    """Drawn lesions and a small Siglip with fresh weights: forty trials in minutes on two cores."""
    return Recipe(
        name="laptop",
        config=Config(
            data=DataConfig(
                image_suffix=".png",
                group_column="lesion_id",
                image_size=32,
                synthetic=SyntheticConfig(),
            ),
            model=ModelConfig(
                architecture="siglip",
                settings={
                    "vision_config": {
                        "image_size": 32,
                        "patch_size": 8,
                        "hidden_size": 64,
                        "intermediate_size": 128,
                        "num_hidden_layers": 2,
                        "num_attention_heads": 4,
                    }
                },
            ),
            training=TrainingConfig(epochs=12, batch_size=64, learning_rate=2e-3, warmup_fraction=0.2, vflip=True),
        ),
        data_dir="data/laptop",
        seconds_per_trial=9.0,
        note="drawn images, not photographs: a rehearsal of the design, never evidence about a lever",
    )


def ham10000() -> Recipe:
    """HAM10000 dermatoscopy (Tschandl et al. 2018) and a small ResNet trained from scratch on a CPU core."""
    return Recipe(
        name="ham10000",
        config=Config(
            data=DataConfig(label_column="dx", group_column="lesion_id", image_size=64),
            model=ModelConfig(
                architecture="resnet",
                settings={
                    "embedding_size": 16,
                    "hidden_sizes": [16, 32, 64, 128],
                    "depths": [1, 1, 1, 1],
                    "layer_type": "basic",
                },
                pixel_mean=(0.78, 0.53, 0.55),
                pixel_std=(0.13, 0.15, 0.17),
            ),
            training=TrainingConfig(
                epochs=10,
                batch_size=64,
                learning_rate=2e-3,
                warmup_fraction=0.3,
                vflip=True,
                channels_last=True,
            ),
        ),
        data_dir="data/ham10000",
        seconds_per_trial=29.0,
        note="a folder with images/<image_id>.jpg and metadata.csv (image_id, lesion_id, dx, split)",
    )


def medsiglip() -> Recipe:
    """MedSigLIP fine-tuned at 448 px on a GPU, after Google's notebook, but split by case, not by image.

    A pass holds as many of a step's 64 images as there is room for. `compile` is left off: it is part of a trial's
    identity, and what it gains has not been measured on a GPU.
    """
    return Recipe(
        name="medsiglip",
        config=Config(
            data=DataConfig(group_column="case_id", image_size=448, fit="pad"),
            model=ModelConfig(checkpoint="google/medsiglip-448"),
            training=TrainingConfig(
                epochs=3,
                batch_size=8,
                accumulation=8,
                learning_rate=5e-5,
                weight_decay=0.01,
                warmup_fraction=0.0,
                eval_batch_size=64,
            ),
        ),
        resources=Resources(cpus=8, gpus=1, micro_batch="auto"),
        note="a folder with images/<image_id>.jpg and metadata.csv (image_id, case_id, label, split); "
        "google/medsiglip-448 is gated: accept its licence on the hub and set HF_TOKEN",
    )


RECIPES: Mapping[str, Callable[[], Recipe]] = {"laptop": laptop, "ham10000": ham10000, "medsiglip": medsiglip}
"""The recipes that `--recipe` knows by name."""
