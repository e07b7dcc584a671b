"""What is asked: a `Sweep` of arms that are named, or a `Search` of ranges that ends in one."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dermtune.config import LEVER_NAMES, Scalar, UserError

BASELINE = "baseline"
"""Name of the arm that all others are compared with."""


class PlanError(UserError):
    """A sweep that cannot be planned; the message says what must hold and what came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A question: which levers at which values, against which baseline, with how many seeds."""

    name: str
    grid: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)
    """Levers and their values; every combination is an arm."""
    arms: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    """Arms that make no grid: by name, the levers that each changes from the baseline."""
    baseline: Mapping[str, Scalar] = field(default_factory=dict)
    """The levers' values in the baseline arm: a cell of the grid, or one for every lever that an arm changes."""
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
        if self.grid and self.arms:
            raise PlanError("a sweep must have either a `grid` or `arms`, got both")
        if self.grid:
            _check_grid(self.grid, self.baseline)
        else:
            _check_arms(self.arms, self.baseline)
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
class Search:
    """A question with ranges: which values of these levers are worth a sweep of their own?

    Optuna searches the ranges, one trial a point, judged on `val` alone. The best points become the arms of the
    sweep that `confirmation` gives, with seeds that the search has not seen, judged on `test` alone.
    """

    name: str
    space: Mapping[str, Any]
    """By lever, the range to search: an `optuna.distributions.BaseDistribution`."""
    baseline: Mapping[str, Scalar]
    """The value of every lever of the space in the baseline arm, which the search tries first."""
    n_trials: int = 40
    """Points that are tried, those that are pruned among them."""
    objectives: Sequence[str] = ("balanced_accuracy",)
    """Metrics on val to raise; of two, the best compromises are searched, and the first picks among them."""
    search_seed: int = 1000
    """Seed of the search, and training seed of each of its trials."""
    top: int = 3
    """How many of the best points are confirmed."""
    seeds: Sequence[int] = tuple(range(5))
    """Training seeds of the confirmation; `search_seed` is none of them."""
    looks: Sequence[int] = ()
    """As a sweep's, of the confirmation."""
    guard_metrics: Sequence[str] = ("top1",)
    margin: float = 0.006
    """Smallest difference that matters, as a fraction."""

    def __post_init__(self) -> None:
        _check_space(self.space, self.baseline)
        if isinstance(self.objectives, str) or not 1 <= len(self.objectives) <= 2:
            raise PlanError(f"`objectives` must be one or two metrics, got {self.objectives!r}")
        for name, least in (("n_trials", 2), ("top", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise PlanError(f"`{name}` must be a whole number of at least {least}, got {value!r}")
        if self.top >= self.n_trials:
            raise PlanError(f"`top` must be less than `n_trials`, got {self.top} of {self.n_trials}")
        if self.search_seed in self.seeds:
            raise PlanError(
                f"the confirmation must have fresh seeds, `search_seed` {self.search_seed} is among "
                f"{list(self.seeds)}"
            )
        self.confirmation({})  # what a sweep refuses is refused before anything is searched

    def confirmation(self, picked: Mapping[str, Mapping[str, Scalar]]) -> Sweep:
        """The sweep that judges the picked points, by name, against the baseline on `test`."""
        return Sweep(
            name=self.name,
            arms=picked,
            baseline=self.baseline,
            seeds=self.seeds,
            looks=self.looks,
            primary_metric=self.objectives[0],
            guard_metrics=self.guard_metrics,
            margin=self.margin,
        )


def _check_grid(grid: Mapping[str, Sequence[Scalar]], baseline: Mapping[str, Scalar]) -> None:
    for lever, values in grid.items():
        _check_grid_values(lever, values)
    for lever, value in baseline.items():
        if lever not in grid or value not in grid[lever]:
            raise PlanError(
                f"the baseline must be a cell of the grid: `{lever}` = {value!r} is not in it "
                f"(the grid has {dict(grid)!r})"
            )
    missing = [lever for lever in grid if lever not in baseline]
    if missing:
        raise PlanError(f"the baseline must fix every lever of the grid, `{missing[0]}` is missing")


def _check_arms(arms: Mapping[str, Mapping[str, Scalar]], baseline: Mapping[str, Scalar]) -> None:
    """Named, each unlike the baseline and every other, and the baseline says where each lever starts from."""
    if unknown := [lever for lever in baseline if lever not in LEVER_NAMES]:
        raise PlanError(f"unknown lever {unknown[0]!r} in the baseline; the levers are {', '.join(LEVER_NAMES)}")
    seen: dict[str, Mapping[str, Scalar]] = {BASELINE: baseline}
    for name, levers in arms.items():
        if name == BASELINE or not name.replace("_", "").replace("-", "").isalnum():
            raise PlanError(
                f"an arm's name must be letters, digits, _ and -, and not {BASELINE!r}, which is there already, "
                f"got {name!r}"
            )
        if unknown := [lever for lever in levers if lever not in LEVER_NAMES]:
            raise PlanError(
                f"unknown lever {unknown[0]!r} in arm {name!r}; the levers are {', '.join(LEVER_NAMES)}"
            )
        if missing := [lever for lever in levers if lever not in baseline]:
            raise PlanError(
                f"the baseline must fix every lever that an arm changes, `{missing[0]}` of {name!r} is missing"
            )
        whole = {**baseline, **levers}
        if same := [other for other, of_other in seen.items() if of_other == whole]:
            raise PlanError(f"arms must differ, {name!r} is the same as {same[0]!r}")
        seen[name] = whole


def _check_grid_values(lever: str, values: object) -> None:
    if lever not in LEVER_NAMES:
        raise PlanError(f"unknown lever {lever!r} in the grid; the levers are {', '.join(LEVER_NAMES)}")
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise PlanError(f"the grid's `{lever}` must be a sequence of values, got {values!r}")
    if len(set(values)) != len(values):
        raise PlanError(f"the grid's `{lever}` must have distinct values, got {list(values)!r}")


def _check_space(space: Mapping[str, Any], baseline: Mapping[str, Scalar]) -> None:
    """Ranges of known levers, and a baseline that says where each of them starts from."""
    if not space:
        raise PlanError("a search must have at least one lever in its `space`, got none")
    for lever, spread in space.items():
        if lever not in LEVER_NAMES:
            raise PlanError(f"unknown lever {lever!r} in the space; the levers are {', '.join(LEVER_NAMES)}")
        if type(spread).__module__ != "optuna.distributions":
            raise PlanError(f"the space's `{lever}` must be one of optuna.distributions, got {spread!r}")
    if set(baseline) != set(space):
        raise PlanError(
            f"the baseline must fix the levers of the space and no others, {', '.join(space)}, "
            f"got {', '.join(baseline) or 'none'}"
        )


def _check_looks(looks: object) -> None:
    if isinstance(looks, str) or not isinstance(looks, Sequence):
        raise PlanError(f"`looks` must be a sequence of numbers of seeds, got {looks!r}")
    for n_seeds in looks:
        if not isinstance(n_seeds, int) or n_seeds < 2:
            raise PlanError(f"a look must be at a whole number of seeds, 2 or more, got {n_seeds!r}")
    if list(looks) != sorted(set(looks)):
        raise PlanError(f"`looks` must be ascending and distinct, got {list(looks)}")
