"""From a question to its trials: Sweep, Arm, Trial, and `plan()`, which multiplies them out."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dermtune.config import LEVER_NAMES, Config, ConfigError, Scalar, UserError, canonical_json

BASELINE = "baseline"
"""Name of the arm that all others are compared with."""


class PlanError(UserError):
    """A sweep that cannot be planned; the message says what must hold and what came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A question: which levers at which values, against which baseline, with how many seeds."""

    name: str
    grid: Mapping[str, Sequence[Scalar]]
    """Levers and their values; every combination is an arm."""
    baseline: Mapping[str, Scalar] = field(default_factory=dict)
    """The levers' values in the baseline arm; it must be a cell of the grid."""
    seeds: Sequence[int] = tuple(range(5))
    """Training seeds, shared by all arms."""
    looks: Sequence[int] = ()
    """Numbers of seeds at which results are looked at, ascending, the last the final one; empty: only once."""
    primary_metric: str = "balanced_accuracy"
    guard_metrics: Sequence[str] = ("top1",)
    """Metrics that a kept arm must not worsen."""
    margin: float = 0.006
    """Smallest difference that matters, as a fraction."""

    def __post_init__(self) -> None:
        if not self.name.replace("_", "").isalnum():
            raise PlanError(f"a sweep's name must be letters, digits and _, got {self.name!r}")
        for lever, values in self.grid.items():
            _check_grid_values(lever, values)
        for lever, value in self.baseline.items():
            if lever not in self.grid or value not in self.grid[lever]:
                raise PlanError(
                    f"the baseline must be a cell of the grid: `{lever}` = {value!r} is not in it "
                    f"(the grid has {dict(self.grid)!r})"
                )
        missing = [lever for lever in self.grid if lever not in self.baseline]
        if missing:
            raise PlanError(f"the baseline must fix every lever of the grid, `{missing[0]}` is missing")
        for seed in self.seeds:
            if not isinstance(seed, int) or not 0 <= seed < 2**32:
                raise PlanError(f"a seed must be a whole number from 0 to 2**32 - 1, got {seed!r}")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise PlanError(f"seeds must be distinct and at least one, got {list(self.seeds)}")
        _check_looks(self.looks)
        if isinstance(self.guard_metrics, str):
            raise PlanError(f"`guard_metrics` must be a sequence of names, got {self.guard_metrics!r}")
        if not self.margin >= 0:
            raise PlanError(f"`margin` must be >= 0, got {self.margin!r}")

    def first_seeds(self, n: int | None = None) -> tuple[int, ...]:
        """The first `n` seeds; beyond the declared ones they go on from the largest."""
        if n is None:
            return tuple(self.seeds)
        if n < 1:
            raise PlanError(f"`--seeds` must be at least 1, got {n}")
        further = itertools.count(max(self.seeds) + 1)
        return tuple(itertools.islice(itertools.chain(self.seeds, further), n))


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One named configuration under comparison."""

    name: str
    levers: Mapping[str, Scalar]
    """The value of every lever of the grid in this arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One arm x one seed."""

    arm: str
    levers: Mapping[str, Scalar]
    seed: int
    config: Config
    fingerprints: Mapping[str, str]
    """Content hashes of what the config only names: `data`, and `checkpoint` where it is a local folder."""

    @property
    def trial_id(self) -> str:
        """Hash of what can change the result, and of nothing else: no path, host or output folder."""
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
        sweep = Sweep(
            name=asked["sweep"],
            grid=asked["grid"],
            baseline=levers[asked["baseline"]],
            seeds=tuple(asked["seeds"]),
            looks=tuple(asked.get("looks", ())),
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
    cells = [dict(zip(sweep.grid, values, strict=True)) for values in itertools.product(*sweep.grid.values())]
    arms = [Arm(name=arm_name(cell, sweep.baseline), levers=cell) for cell in cells]
    return tuple(sorted(arms, key=lambda arm: arm.name != BASELINE))


def _configured(config: Config, arm: Arm) -> Config:
    try:
        return config.with_levers(arm.levers)
    except ConfigError as error:
        raise ConfigError(f"{error} in arm {arm.name!r}") from None


def _check_grid_values(lever: str, values: object) -> None:
    if lever not in LEVER_NAMES:
        raise PlanError(f"unknown lever {lever!r} in the grid; the levers are {', '.join(LEVER_NAMES)}")
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise PlanError(f"the grid's `{lever}` must be a sequence of values, got {values!r}")
    if len(set(values)) != len(values):
        raise PlanError(f"the grid's `{lever}` must have distinct values, got {list(values)!r}")


def _check_looks(looks: object) -> None:
    if isinstance(looks, str) or not isinstance(looks, Sequence):
        raise PlanError(f"`looks` must be a sequence of numbers of seeds, got {looks!r}")
    for n_seeds in looks:
        if not isinstance(n_seeds, int) or n_seeds < 2:
            raise PlanError(f"a look must be at a whole number of seeds, 2 or more, got {n_seeds!r}")
    if list(looks) != sorted(set(looks)):
        raise PlanError(f"`looks` must be ascending and distinct, got {list(looks)}")


def _short(value: Scalar) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
