"""Which trials train a head alone on features that can be kept, and which of them train in one program."""

from collections.abc import Iterable
from dataclasses import replace

from dermtune.config import Config, canonical_json
from dermtune.plan import Trial

LARGEST = 64
"""Trials of one program at most: what a kill of it throws away."""


def hindrance(config: Config) -> str | None:
    """Why a trial of this config cannot train on kept features, a clause; None where nothing hinders it."""
    if config.levers.tuning != "head":
        return f"`tuning` is {config.levers.tuning!r}: its features change as it trains"
    if config.levers.mixup:
        return "`mixup` blends pixels, and the features of a blend are no blend of features"
    return None


def bundles(trials: Iterable[Trial]) -> tuple[tuple[Trial, ...], ...]:
    """The trials in programs, in the order of the first of each: heads on the same features in step, else one each.

    A backbone with fresh weights is its seed's own; that of a checkpoint is the same for all seeds.
    """
    together: dict[str, list[Trial]] = {}
    for trial in trials:
        together.setdefault(_program(trial), []).append(trial)
    return tuple(
        tuple(program[start : start + LARGEST])
        for program in together.values()
        for start in range(0, len(program), LARGEST)
    )


def _program(trial: Trial) -> str:
    """The same for trials that see the same features in batches and epochs of the same number."""
    config = trial.config
    if hindrance(config) is not None:
        return trial.trial_id
    own_pace = {"learning_rate": 1.0, "weight_decay": 0.0, "warmup_fraction": 0.0, "schedule": "cosine"}
    shared = replace(config, training=replace(config.training, **own_pace)).to_dict()
    shared.pop("levers")
    seed = trial.seed if config.model.checkpoint is None else None
    return canonical_json([shared, seed, dict(trial.fingerprints)])
