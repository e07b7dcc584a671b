"""What is asked: a `Sweep` of arms, all cells of a grid, named one by one, or found by a first stage."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from dermtune.config import LEVER_NAMES, Scalar
from dermtune.stages import Screen as Screen
from dermtune.stages import Search as Search
from dermtune.validation import PlanError as PlanError

Repeats = Literal["fixed", "adaptive"]

BASELINE = "baseline"
"""Name of the arm that all others are compared with."""


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
    first: Search | Screen | None = None
    """A stage before: it finds the arms on `val` with seeds of its own, and this sweep confirms them on `test`."""
    repeats: Repeats = "fixed"
    """`adaptive`: an arm that a look has decided gets no further seeds; the others go on to the next look."""
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
        _check_repeats(self.repeats, self.looks)
        _check_first(self)
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


def _check_repeats(repeats: object, looks: Sequence[int]) -> None:
    if repeats not in get_args(Repeats):
        raise PlanError(f"`repeats` must be one of {', '.join(map(repr, get_args(Repeats)))}, got {repeats!r}")
    if repeats == "adaptive" and len(looks) < 2:
        raise PlanError(f"adaptive repeats must declare two `looks` or more, got {list(looks)}")
    if repeats == "adaptive" and 4 * looks[0] < looks[-1]:
        raise PlanError(
            "the first look of adaptive repeats must have a quarter of the last one's seeds or more, for one "
            f"before has nothing to spend, got {list(looks)}"
        )


def _check_first(sweep: Sweep) -> None:
    """A first stage's arms are those it finds, and its seeds are none of the confirmation's."""
    first = sweep.first
    if first is None:
        return
    if shared := sorted(set(first.seeds) & set(sweep.seeds)):
        raise PlanError(f"a first stage's seeds must be fresh, {shared[0]} is one of the sweep's too")
    if isinstance(first, Search):
        if sweep.grid or sweep.arms:
            raise PlanError("a sweep that searches must have neither `grid` nor `arms`: its arms are what it finds")
        if unknown := [lever for lever in first.space if lever not in LEVER_NAMES]:
            raise PlanError(f"unknown lever {unknown[0]!r} in the space; the levers are {', '.join(LEVER_NAMES)}")
        if missing := [lever for lever in first.space if lever not in sweep.baseline]:
            raise PlanError(f"the baseline must fix every lever that is searched, `{missing[0]}` is missing")
    elif not sweep.grid and not sweep.arms:
        raise PlanError("a sweep that screens must have a `grid` or `arms` to screen, got neither")


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
    seen = {frozenset(baseline.items()): BASELINE}
    for name, levers in arms.items():
        if name == BASELINE or not re.fullmatch(r"[\w=+.-]+", name):
            raise PlanError(
                f"an arm's name must be letters, digits and _ - = + ., and not {BASELINE!r}, which is there "
                f"already, got {name!r}"
            )
        if unknown := [lever for lever in levers if lever not in LEVER_NAMES]:
            raise PlanError(
                f"unknown lever {unknown[0]!r} in arm {name!r}; the levers are {', '.join(LEVER_NAMES)}"
            )
        if missing := [lever for lever in levers if lever not in baseline]:
            raise PlanError(
                f"the baseline must fix every lever that an arm changes, `{missing[0]}` of {name!r} is missing"
            )
        whole = frozenset({**baseline, **levers}.items())
        if whole in seen:
            raise PlanError(f"arms must differ, {name!r} is the same as {seen[whole]!r}")
        seen[whole] = name


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
