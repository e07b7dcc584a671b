"""Which trials take alike: those whose configurations differ in nothing that costs time."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dermtune.config import Config, Levers, TrainingConfig, canonical_json

TIMELESS = frozenset(
    {
        "focal_gamma",
        "focal_form",
        "label_smoothing",
        "sampler_power",
        "sampler_schedule",
        "logit_adjustment",
        "effective_number",
        "prior_weight",
        "drw",
        "learning_rate_factor",
        "lora_alpha",
        "learning_rate",
        "weight_decay",
        "warmup_fraction",
        "schedule",
        "epochs",
    }
)
"""Levers that change what a step computes, or how many steps there are, and not how long one takes.

A lever that is not named here counts as one that costs time: a new one is timed rather than guessed at.
"""
SWITCHES: Mapping[str, float] = {"mixup": 0.2, "ema": 0.99, "ldam": 0.5}
"""Levers that cost time once they are on, whatever their value, and the value that stands for all of them."""


def same_kind(config: Config) -> Config:
    """The configuration that stands for all that take as long a step: what costs no time is at its default."""
    return replace(config, levers=_plain(config.levers), training=_plain(config.training))


def kind_of(config: Config) -> str:
    """One text for all configurations whose steps take alike."""
    return canonical_json(same_kind(config).departures())


def _plain(record: Any) -> Any:
    default = Levers() if isinstance(record, Levers) else TrainingConfig()
    names = TIMELESS.intersection(record.__dataclass_fields__)
    plain: dict[str, Any] = {name: getattr(default, name) for name in names}
    switched = {name: on for name, on in SWITCHES.items() if getattr(record, name, 0)}
    return replace(record, **plain, **switched)
