"""What a trial is made of: frozen records that refuse what cannot be trained."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, get_args, get_origin

from dermtune.levers import FocalForm as FocalForm
from dermtune.levers import Levers as Levers
from dermtune.levers import SamplerSchedule as SamplerSchedule
from dermtune.levers import Scalar as Scalar
from dermtune.levers import Tuning as Tuning
from dermtune.validation import ConfigError as ConfigError
from dermtune.validation import UserError as UserError
from dermtune.validation import require, require_choice, require_types

Attention = Literal["auto", "sdpa", "sdpa_flash", "sdpa_efficient", "sdpa_cudnn", "eager", "flash_attention_2"]
Fit = Literal["squash", "pad"]
Interpolation = Literal["bilinear", "bicubic"]
Pooling = Literal["mean", "map"]
Precision = Literal["auto", "float32", "bfloat16"]
Schedule = Literal["cosine", "linear", "constant_with_warmup"]


NO_IDENTITY: Mapping[str, bool] = {"identity": False}
"""Marks a field that says what is accepted and cannot change a trial's result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticConfig:
    """A drawn lesion set, made in the data folder where there is none (`dermtune.data.synthetic`)."""

    n_train: int = 3000
    """Training photographs, over all classes."""
    n_test: int = 1500
    """Test photographs, over all classes."""
    image_size: int = 32
    """Side of a photograph in pixels."""
    seed: int = 0
    """Seed of the drawing; the same seed draws the same set."""

    def __post_init__(self) -> None:
        require_types(self)
        require(self.n_train >= 200, "n_train", "be at least 200", self.n_train)
        require(self.n_test >= 100, "n_test", "be at least 100", self.n_test)
        require(self.image_size >= 16, "image_size", "be at least 16", self.image_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """How a folder of images and its metadata file become train, val and test."""

    metadata: str = "metadata.csv"
    """Metadata file, CSV or Parquet, inside the data folder."""
    image_folder: str = "images"
    """Folder of the images, inside the data folder."""
    image_suffix: str = ".jpg"
    """Appended to the image column's value to give the file's name; empty where it is there already."""
    image_column: str = "image_id"
    label_column: str = "label"
    group_column: str | None = None
    """Lesion, patient or case: never in two splits; None takes each image as its own group."""
    split_column: str = "split"
    """Column with `train`, `test` and, if there is one, `val`."""
    image_size: int = 64
    """Side of the square that the model sees, in pixels."""
    fit: Fit = "squash"
    """How an oblong image becomes a square: `squash` it, or zero-`pad` it first."""
    interpolation: Interpolation = "bilinear"
    """Resampling filter, always with antialiasing (Pillow)."""
    val_fraction: float = 0.15
    """Share of train that becomes val where the metadata have none."""
    split_seed: int = 0
    """Seed of that cut, shared by all trials."""
    synthetic: SyntheticConfig | None = None
    """Draw this set into the data folder where there is none yet."""
    max_unreadable_train: float = field(default=0.01, metadata=NO_IDENTITY)
    """Share of the train images that may be unreadable: they are left out. With more nothing is trained."""
    max_unreadable_eval: float = field(default=0.0, metadata=NO_IDENTITY)
    """The same of the val images, and of the test images."""

    def __post_init__(self) -> None:
        require_types(self)
        require_choice("fit", Fit, self.fit)
        require_choice("interpolation", Interpolation, self.interpolation)
        require(self.image_size >= 8, "image_size", "be at least 8", self.image_size)
        require(0 < self.val_fraction < 1, "val_fraction", "lie in (0, 1)", self.val_fraction)
        for name in ("max_unreadable_train", "max_unreadable_eval"):
            require(0 <= getattr(self, name) < 1, name, "lie in [0, 1)", getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Either an architecture built from its config with fresh weights, or a checkpoint to fine-tune."""

    architecture: str | None = None
    """A transformers model type with an image classifier (`siglip`, `resnet`, `vit`), built from `settings`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of that architecture's config class; JSON values only."""
    checkpoint: str | None = None
    """A hub id (`google/medsiglip-448`) or a local folder with `config.json` and safetensors weights."""
    revision: str | None = None
    """Hub revision to pin; None takes the newest."""
    pooling: Pooling = "mean"
    """Siglip only: mean of the patch tokens, or the attention-pooling head (`map`)."""
    pixel_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    pixel_std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        require_choice("pooling", Pooling, self.pooling)
        if (self.architecture is None) == (self.checkpoint is None):
            raise ConfigError(
                "a model must have either `architecture` or `checkpoint`, "
                f"got architecture={self.architecture!r} and checkpoint={self.checkpoint!r}"
            )
        for name in ("pixel_mean", "pixel_std"):
            require(len(getattr(self, name)) == 3, name, "have three values (R, G, B)", getattr(self, name))
        require(min(self.pixel_std) > 0, "pixel_std", "be > 0", self.pixel_std)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """The loop: optimiser, schedule, budget of steps, augmentation. Gradients are clipped at a norm of 1."""

    epochs: int = 10
    batch_size: int = 64
    """Images a forward pass, on each device."""
    accumulation: int = 1
    """Forward passes an optimiser step."""
    learning_rate: float = 1e-3
    """Peak of the schedule, AdamW."""
    weight_decay: float = 0.05
    warmup_fraction: float = 0.1
    """Share of all steps over which the learning rate rises linearly."""
    schedule: Schedule = "cosine"
    hflip: bool = True
    """Mirror training images left-right at random."""
    vflip: bool = False
    """Mirror training images top-bottom at random."""
    channels_last: bool = False
    """Memory layout that convolutional backbones run faster in."""
    precision: Precision = "auto"
    """`auto` is bfloat16 autocast where the device has it, else float32."""
    eval_batch_size: int = 256
    gradient_checkpointing: bool = False
    """Compute a block's activations a second time in the backward pass rather than keep them."""
    attention: Attention = "auto"
    """Which attention transformers runs: `auto` is its own choice, `sdpa_flash`, `sdpa_efficient` and `sdpa_cudnn`
    are kernels of PyTorch's, `flash_attention_2` needs the package."""
    compile: bool = False
    """Compile the backbone's blocks: the first steps take longer, those after them less."""

    def __post_init__(self) -> None:
        require_types(self)
        for name in ("epochs", "batch_size", "accumulation", "eval_batch_size"):
            require(getattr(self, name) >= 1, name, "be >= 1", getattr(self, name))
        require(self.learning_rate > 0, "learning_rate", "be > 0", self.learning_rate)
        require(self.weight_decay >= 0, "weight_decay", "be >= 0", self.weight_decay)
        require(0 <= self.warmup_fraction < 1, "warmup_fraction", "lie in [0, 1)", self.warmup_fraction)
        require_choice("schedule", Schedule, self.schedule)
        require_choice("precision", Precision, self.precision)
        require_choice("attention", Attention, self.attention)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All that rules a trial's result, but for the seed and the bytes of the data."""

    data: DataConfig
    model: ModelConfig
    training: TrainingConfig
    levers: Levers = field(default_factory=Levers)

    def __post_init__(self) -> None:
        require_types(self)

    def with_levers(self, values: Mapping[str, Scalar]) -> "Config":
        """This config with the named levers set; a lever is any field of `Levers` or `TrainingConfig`.

        Raises ConfigError for a name that is no lever and for a value that the lever refuses.
        """
        unknown = sorted(set(values) - set(LEVER_NAMES))
        if unknown:
            raise ConfigError(f"unknown lever {unknown[0]!r}; the levers are {', '.join(LEVER_NAMES)}")
        levers: dict[str, Any] = {k: v for k, v in values.items() if k in _names(Levers)}
        training: dict[str, Any] = {k: v for k, v in values.items() if k in _names(TrainingConfig)}
        return replace(
            self,
            levers=replace(self.levers, **levers),
            training=replace(self.training, **training),
        )

    def to_dict(self) -> dict[str, Any]:
        """The config as nested plain dicts, for manifests and MLflow params."""
        plain: dict[str, Any] = json.loads(canonical_json(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Config":
        """The config that `to_dict` gave, now or when it had fewer fields. Raises ConfigError."""
        restored: Config = _restored(cls, plain)
        return restored

    def departures(self) -> dict[str, Any]:
        """Only what differs from the defaults: the config's identity.

        A lever added later leaves it unchanged at its default, so finished trials stay finished.
        Hence the rule: a default never changes.
        """
        return _departures(self)


def canonical_json(value: Any) -> str:
    """One text a value: keys sorted, no spaces, whole floats as written by `repr`."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _restored(record: type[Any], plain: Mapping[str, Any]) -> Any:
    kinds = {f.name: f.type for f in fields(record)}
    if unknown := sorted(set(plain) - set(kinds)):
        raise ConfigError(f"unknown field {unknown[0]!r} of {record.__name__}; it has {', '.join(kinds)}")
    try:
        return record(**{name: _typed(kinds[name], value) for name, value in plain.items()})
    except TypeError as error:
        raise ConfigError(f"{record.__name__} must have all its fields: {error}") from None


def _typed(kind: Any, value: Any) -> Any:
    """What JSON has no word for: a nested record, a tuple."""
    for record in (kind, *get_args(kind)):
        if is_dataclass(record) and isinstance(record, type) and isinstance(value, Mapping):
            return _restored(record, value)
    return tuple(value) if get_origin(kind) is tuple else value


def _names(record: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(record))


LEVER_NAMES: tuple[str, ...] = _names(Levers) + _names(TrainingConfig)


def _departures(record: Any) -> dict[str, Any]:
    """Fields that differ from their defaults and can change a result; a nested record is pruned the same way."""
    changed: dict[str, Any] = {}
    for f in fields(record):
        value = getattr(record, f.name)
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        if value != default and f.metadata.get("identity", True):
            changed[f.name] = _departures(value) if is_dataclass(value) else value
    return changed
