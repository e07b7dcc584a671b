"""From a question to its trials: Arm, Trial, and `plan()`, which multiplies a Sweep out."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dermtune.config import Config, ConfigError, Scalar, canonical_json
from dermtune.questions import BASELINE, PlanError, Screen, Search, Sweep
from dermtune.selection import Stage

__all__ = ["BASELINE", "Arm", "Plan", "PlanError", "Screen", "Search", "Sweep", "Trial", "arm_name", "plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One named configuration under comparison."""

    name: str
    levers: Mapping[str, Scalar]
    """The value that this arm gives to every lever that differs between arms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One arm x one seed."""

    arm: str
    levers: Mapping[str, Scalar]
    seed: int
    config: Config
    fingerprints: Mapping[str, str]
    """Content hashes of what the config only names: `data`, and `checkpoint` where it is a local folder."""
    _hashed: str = field(default="", init=False, repr=False, compare=False)
    """The trial_id, once it was asked for: a sweep of thousands asks for each one all the time."""

    @property
    def trial_id(self) -> str:
        """Hash of what can change the result, and of nothing else: no path, host or output folder."""
        if not self._hashed:
            object.__setattr__(self, "_hashed", self._hash())
        return self._hashed

    def _hash(self) -> str:
        config = self.config.departures()
        if "checkpoint" in self.fingerprints:
            config["model"] = {**config["model"], "checkpoint": None}
        what = {"config": config, "seed": self.seed, "fingerprints": dict(self.fingerprints)}
        return hashlib.sha256(canonical_json(what).encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """The trial as a person names it."""
        return f"{self.arm} · seed {self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A sweep multiplied out over one recipe's config."""

    sweep: Sweep
    recipe: str
    """Name of the recipe."""
    config: Config
    """The recipe's, which each arm changes by its levers."""
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    """The baseline first."""
    trials: tuple[Trial, ...]
    """Seed-major: every prefix of it is whole blocks, all arms with the same seeds."""
    stage: Stage | None = None
    """Of which first stage these are the trials; None of those that are judged."""

    def by_arm(self) -> dict[str, list[Trial]]:
        """The trials of each arm, in their order; an arm without any has none."""
        of_arm: dict[str, list[Trial]] = {arm.name: [] for arm in self.arms}
        for trial in self.trials:
            of_arm.setdefault(trial.arm, []).append(trial)
        return of_arm

    @property
    def folder_name(self) -> str:
        """Name of the sweep's folder below the output folder."""
        return f"{self.sweep.name}-{self.recipe}"

    def to_dict(self) -> dict[str, Any]:
        """What was asked, as `sweep.json` holds it."""
        return {
            "format": 1,
            "sweep": self.sweep.name,
            "recipe": self.recipe,
            "baseline": BASELINE,
            "primary_metric": self.sweep.primary_metric,
            "guard_metrics": list(self.sweep.guard_metrics),
            "margin": self.sweep.margin,
            "seeds": list(self.seeds),
            "looks": list(self.sweep.looks),
            "repeats": self.sweep.repeats,
            "config": self.config.to_dict(),
            "fingerprints": dict(self.trials[0].fingerprints),
            "grid": {lever: list(values) for lever, values in self.sweep.grid.items()},
            "arms": [{"arm": arm.name, "levers": dict(arm.levers)} for arm in self.arms],
            "trials": [{"trial_id": t.trial_id, "arm": t.arm, "seed": t.seed} for t in self.trials],
        }

    @classmethod
    def from_dict(cls, asked: Mapping[str, Any]) -> "Plan":
        """The plan that `to_dict` gave; its trials are those listed, with further seeds of an earlier plan or not.

        Raises PlanError or ConfigError where it does not hold together: a trial listed under another id would be
        taken for one that it is not.
        """
        levers = {arm["arm"]: arm["levers"] for arm in asked["arms"]}
        baseline = levers.pop(asked["baseline"])
        sweep = Sweep(
            name=asked["sweep"],
            grid=asked["grid"],
            arms={} if asked["grid"] else levers,
            baseline=baseline,
            seeds=tuple(asked["seeds"]),
            looks=tuple(asked.get("looks", ())),
            repeats=asked.get("repeats", "fixed"),
            primary_metric=asked["primary_metric"],
            guard_metrics=tuple(asked["guard_metrics"]),
            margin=asked["margin"],
        )
        config = Config.from_dict(asked["config"])
        whole = plan(sweep, config, recipe=asked["recipe"], fingerprints=asked["fingerprints"])
        listed = {(trial["arm"], trial["seed"]): trial["trial_id"] for trial in asked["trials"]}
        return replace(whole, trials=_listed(whole.trials, listed))


def plan(
    sweep: Sweep, config: Config, *, recipe: str, fingerprints: Mapping[str, str], n_seeds: int | None = None
) -> Plan:
    """Every arm with every seed, seed-major, the baseline first in each block.

    Raises PlanError or ConfigError, naming the arm, before anything is started.
    """
    arms = _arms(sweep)
    seeds = sweep.first_seeds(n_seeds)
    configs = {arm.name: _configured(config, arm) for arm in arms}
    trials = tuple(
        Trial(arm=arm.name, levers=arm.levers, seed=seed, config=configs[arm.name], fingerprints=dict(fingerprints))
        for seed in seeds
        for arm in arms
    )
    return Plan(sweep=sweep, recipe=recipe, config=config, seeds=seeds, arms=arms, trials=trials)


def arm_name(levers: Mapping[str, Scalar], baseline: Mapping[str, Scalar]) -> str:
    """What sets the arm apart from the baseline: `focal_gamma=2+label_smoothing=0.1`."""
    parts = [f"{lever}={_short(value)}" for lever, value in levers.items() if value != baseline[lever]]
    return "+".join(parts) or BASELINE


def _listed(trials: Sequence[Trial], listed: Mapping[tuple[str, int], str]) -> tuple[Trial, ...]:
    """Those of the trials that are listed, by arm and seed, with the id that they have."""
    kept = tuple(trial for trial in trials if (trial.arm, trial.seed) in listed)
    if missing := sorted(set(listed) - {(trial.arm, trial.seed) for trial in kept}):
        raise PlanError(f"every trial must be of an arm and a seed of the sweep, got {missing[0]}")
    for trial in kept:
        recorded = listed[trial.arm, trial.seed]
        if recorded != trial.trial_id:
            raise PlanError(
                f"{trial.title} must have the trial_id that its config gives, {trial.trial_id}, got {recorded!r}"
            )
    return kept


def _arms(sweep: Sweep) -> tuple[Arm, ...]:
    if not sweep.grid:
        named = [Arm(name=name, levers={**sweep.baseline, **levers}) for name, levers in sweep.arms.items()]
        return (Arm(name=BASELINE, levers=dict(sweep.baseline)), *named)
    cells = [dict(zip(sweep.grid, values, strict=True)) for values in itertools.product(*sweep.grid.values())]
    arms = [Arm(name=arm_name(cell, sweep.baseline), levers=cell) for cell in cells]
    return tuple(sorted(arms, key=lambda arm: arm.name != BASELINE))


def _configured(config: Config, arm: Arm) -> Config:
    try:
        return config.with_levers(arm.levers)
    except ConfigError as error:
        raise ConfigError(f"{error} in arm {arm.name!r}") from None


def _short(value: Scalar) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
