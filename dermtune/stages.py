"""First stages of a sweep: what finds arms on `val`, before the best are repeated and judged on `test`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dermtune.validation import PlanError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DISTRIBUTIONS = "optuna.distributions"
"""Module of the ranges; they are known by it, for importing optuna takes longer than planning a sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Points in ranges of levers: Optuna's TPE proposes them, ASHA prunes the hopeless, `val` scores them."""

    space: Mapping[str, "BaseDistribution"]
    """Levers and their ranges, Optuna's distributions."""
    n_points: int = 40
    """Points that are tried, the baseline among them."""
    confirm: int = 3
    """The best so many points become the arms of the second stage."""
    seeds: Sequence[int] = (1000,)
    """The one training seed of all points, so that they differ in their levers alone."""
    with_guards: bool = False
    """Seek the guard metrics too (multi-objective): the best points are those that no other beats in all."""
    grace_epochs: int = 2
    """Epochs that every point is trained; after them and every `reduction` times as many the worse are pruned."""
    reduction: int = 3
    """Of so many points one goes on at each rung."""

    def __post_init__(self) -> None:
        if not isinstance(self.space, Mapping) or not self.space:
            raise PlanError(f"a search must have a `space` of levers and their ranges, got {self.space!r}")
        for lever, values in self.space.items():
            if type(values).__module__ != DISTRIBUTIONS:
                raise PlanError(
                    f"the range of `{lever}` must be one of optuna.distributions, such as "
                    f"FloatDistribution(0, 5), got {values!r}"
                )
        _check_count("confirm", self.confirm, 1)
        _check_count("n_points", self.n_points, self.confirm + 1)
        _check_count("grace_epochs", self.grace_epochs, 1)
        _check_count("reduction", self.reduction, 2)
        _check_seeds(self.seeds)
        if len(self.seeds) != 1:
            raise PlanError(f"a search must have one seed, which all points share, got {list(self.seeds)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """The sweep's arms on a frozen backbone (`tuning` = head), which takes seconds: the best go on in full."""

    confirm: int = 3
    """The best so many arms become those of the second stage."""
    seeds: Sequence[int] = (1000, 1001, 1002)
    """Training seeds of the screening."""

    def __post_init__(self) -> None:
        _check_count("confirm", self.confirm, 1)
        _check_seeds(self.seeds)


def _check_count(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or not least <= value < math.inf:
        raise PlanError(f"`{name}` must be a whole number, {least} or more, got {value!r}")


def _check_seeds(seeds: Sequence[int]) -> None:
    whole = isinstance(seeds, Sequence) and all(isinstance(s, int) and 0 <= s < 2**32 for s in seeds)
    if not whole or not seeds or len(set(seeds)) != len(seeds):
        raise PlanError(f"a first stage's seeds must be distinct whole numbers from 0 to 2**32 - 1, got {seeds!r}")
