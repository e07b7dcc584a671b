"""Which trials train a head alone on features that can be kept, and which of them train in one program."""

from collections.abc import Sequence

from dermtune.config import Config, canonical_json
from dermtune.plan import Trial


class Unfit(Exception):
    """A model whose features cannot be kept; the message says why. Its trials go the ordinary way."""


def hindrance(config: Config) -> str | None:
    """Why a trial of this config cannot train on kept features, a clause; None where nothing hinders it."""
    if config.levers.tuning != "head":
        return f"`tuning` is {config.levers.tuning!r}: its features change as it trains"
    if config.levers.mixup:
        return "`mixup` blends pixels, and the features of a blend are no blend of features"
    return None


def bundles(trials: Sequence[Trial], at_once: int) -> tuple[tuple[Trial, ...], ...]:
    """The trials in programs, in the order of the first of each: heads on the same features in step, else one each.

    A further trial in a program costs a part of what it costs alone (docs/benchmarks.md), and programs run beside
    each other, `at_once` of them: heads are dealt evenly to these. A backbone with fresh weights is its seed's own;
    that of a checkpoint is the same for all seeds.
    """
    together: dict[str, list[Trial]] = {}
    for trial in trials:
        together.setdefault(_program(trial), []).append(trial)
    n_heads = sum(hindrance(trial.config) is None for trial in trials)
    largest = max(1, -(-n_heads // max(1, at_once)))
    return tuple(
        tuple(program[start : start + largest])
        for program in together.values()
        for start in range(0, len(program), largest)
    )


def _program(trial: Trial) -> str:
    """The same for trials that see the same features in batches and epochs of the same number."""
    config = trial.config
    if hindrance(config) is not None:
        return trial.trial_id
    shared = config.to_dict()
    del shared["levers"]
    for own_pace in ("learning_rate", "weight_decay", "warmup_fraction", "schedule"):
        del shared["training"][own_pace]
    seed = trial.seed if config.model.checkpoint is None else None
    return canonical_json([shared, seed, dict(trial.fingerprints)])
