"""The levers under comparison: what a team changes in the hope of a gain."""

from dataclasses import dataclass, fields
from typing import Literal

from dermtune.validation import ConfigError, require, require_choice, require_types

Scalar = str | int | float | bool
FocalForm = Literal["soft", "modulated"]
SamplerSchedule = Literal["constant", "progressive"]
Tuning = Literal["full", "head", "lora", "last_k"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Levers:
    """What a team changes in the hope of a gain; the defaults are plain cross-entropy on the data as they come."""

    focal_gamma: float = 0.0
    """Exponent of the focal factor (1 - p)^gamma; 0 is cross-entropy."""
    focal_form: FocalForm = "soft"
    """How the focal factor meets smoothed targets; see `dermtune.losses`."""
    label_smoothing: float = 0.0
    """Share of the target spread evenly over all classes."""
    sampler_power: float = 0.0
    """q in P(image) ~ n_class^-q: 0 natural, 0.5 square root, 1 class-balanced."""
    sampler_schedule: SamplerSchedule = "constant"
    """`progressive` starts from the natural shares and has those of `sampler_power` in the last epoch."""
    logit_adjustment: float = 0.0
    """tau in CE(z + tau log prior, y); 1 is balanced softmax."""
    effective_number: float = 0.0
    """b in class weights ~ (1 - b) / (1 - b^n); 0 is off, the nearer to 1 the nearer to 1 / n."""
    prior_weight: float = 0.0
    """s in class weights ~ prior^-s; 0 is off, 1 weights all classes alike."""
    ldam: float = 0.0
    """Largest margin of LDAM, the rarest class's, as a cosine; 0 is off. Brings a cosine classifier."""
    drw: float = 0.0
    """Deferred re-weighting: share of the epochs before the class weights begin; 0 has them from the start."""
    learning_rate_factor: float = 1.0
    """Times the recipe's learning rate, so that a range of it suits every recipe."""
    mixup: float = 0.0
    """alpha in the Beta(alpha, alpha) of the share that an image keeps of itself; 0 is off."""
    ema: float = 0.0
    """Decay of the running mean of the weights, which is judged and served in their stead; 0 is off."""
    tuning: Tuning = "full"
    """What is trained: the `full` model, its `head` on a frozen backbone, or the head with the `last_k` blocks or
    with `lora` adapters on the attention; see `dermtune.tuning`."""
    tuned_blocks: int = 1
    """k of the tuning `last_k`."""
    lora_rank: int = 8
    """Rank of each update of the tuning `lora`."""
    lora_alpha: int = 16
    """An update of the tuning `lora` is multiplied by alpha / rank."""

    def __post_init__(self) -> None:
        require_types(self)
        require_choice("focal_form", FocalForm, self.focal_form)
        require_choice("sampler_schedule", SamplerSchedule, self.sampler_schedule)
        require_choice("tuning", Tuning, self.tuning)
        for name in ("focal_gamma", "logit_adjustment", "prior_weight", "mixup"):
            require(getattr(self, name) >= 0, name, "be >= 0", getattr(self, name))
        for name in ("label_smoothing", "effective_number", "ldam", "drw", "ema"):
            require(0 <= getattr(self, name) < 1, name, "lie in [0, 1)", getattr(self, name))
        require(self.learning_rate_factor > 0, "learning_rate_factor", "be > 0", self.learning_rate_factor)
        require(0 <= self.sampler_power <= 1, "sampler_power", "lie in [0, 1]", self.sampler_power)
        for name in ("tuned_blocks", "lora_rank", "lora_alpha"):
            require(getattr(self, name) >= 1, name, "be >= 1", getattr(self, name))
        _refuse_clashes(self)
        _refuse_idle(self)

    @property
    def weighted(self) -> bool:
        """Whether classes are weighted in the loss."""
        return self.effective_number > 0 or self.prior_weight > 0


def _refuse_clashes(levers: Levers) -> None:
    """Two levers that say the same thing twice, or that nobody has defined together."""
    for one, other, why in (
        ("effective_number", "prior_weight", "both weight the classes"),
        ("ldam", "logit_adjustment", "both shift the logits by class frequency"),
        ("ldam", "focal_gamma", "the focal factor is defined on probabilities without a margin"),
        ("ldam", "mixup", "a mixed image has no class of its own to have a margin"),
    ):
        values = getattr(levers, one), getattr(levers, other)
        if all(values):
            raise ConfigError(f"`{one}` or `{other}` must be 0, {why}, got {values[0]!r} and {values[1]!r}")


def _refuse_idle(levers: Levers) -> None:
    """A lever that is set and would change nothing: the trial would be another's under a new name."""
    default = {f.name: f.default for f in fields(Levers)}
    for name, holds, needs in (
        ("sampler_schedule", levers.sampler_power > 0, "a `sampler_power`"),
        ("drw", levers.weighted, "`effective_number` or `prior_weight`"),
        ("tuned_blocks", levers.tuning == "last_k", "`tuning` = 'last_k'"),
        ("lora_rank", levers.tuning == "lora", "`tuning` = 'lora'"),
        ("lora_alpha", levers.tuning == "lora", "`tuning` = 'lora'"),
    ):
        got = getattr(levers, name)
        if got != default[name] and not holds:
            raise ConfigError(f"`{name}` must go with {needs}, got {got!r} without")
