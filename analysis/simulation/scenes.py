"""The worlds that the method is put to: what dominates the variance, how rare classes get, how many arms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.simulation.studies import Share, Size, coverage, family_errors, power
from analysis.simulation.world import World

N_CLASSES, COMMONEST = 30, 522
RAREST = (10, 50)
N_ARMS = 11
"""Arms beside the baseline, where there are many."""
GAINS = (0.06, 0.1, 0.14)
"""What the one arm that gains adds to the threshold: about 1.7, 2.9 and 4.0 points."""


def _world(rarest: int, *, shift: float, response: float) -> World:
    sizes = np.geomspace(COMMONEST, rarest, N_CLASSES).round().astype(int).tolist()
    return World(sizes=sizes, shift=shift, response=response)


DOMINANT: Mapping[str, Mapping[str, float]] = {
    "seeds": {"shift": 0.07, "response": 0.1},
    "images": {"shift": 0.003, "response": 0.8},
    "mixed": {"shift": 0.02, "response": 0.4},
}
"""What dominates a delta's variance: runs that differ (2.3 points), images that do, or neither (1.1 points)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of a study."""

    world: str
    rarest: int | None
    """Images of the rarest class; None where scores alone are drawn."""
    n_seeds: int
    method: str
    share: float
    error: float
    """Standard error of `share`."""
    width: float | None = None
    """Mean width of the interval, a fraction; None where a share alone is of interest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One world at one number of seeds, and what is asked of it."""

    name: str
    world: World
    n_seeds: int
    ask: Callable[["Cell", Size], list[Row]]

    def rows(self, size: Size) -> list[Row]:
        """The figures."""
        return self.ask(self, size)

    def row(self, method: str, share: Share, width: float | None = None) -> Row:
        """A figure of this cell."""
        return Row(
            world=self.name,
            rarest=min(self.world.sizes),
            n_seeds=self.n_seeds,
            method=method,
            share=share.value,
            error=share.error,
            width=width,
        )


def _coverage(cell: Cell, size: Size) -> list[Row]:
    return [cell.row(c.method, c.held, c.width) for c in coverage(cell.world, cell.n_seeds, size)]


def _family(cell: Cell, size: Size) -> list[Row]:
    return [cell.row(method, share) for method, share in family_errors(cell.world, cell.n_seeds, size).items()]


def _power(cell: Cell, size: Size) -> list[Row]:
    return [cell.row(method, share) for method, share in power(cell.world, cell.n_seeds, size).items()]


def _one_arm(seeds: Sequence[int]) -> list[Cell]:
    return [
        Cell(name=name, world=_world(rarest, **spread), n_seeds=n, ask=_coverage)
        for name, spread in DOMINANT.items()
        for rarest in RAREST
        for n in seeds
    ]


def _among_many(seeds: Sequence[int]) -> list[Cell]:
    return [
        replace(cell, world=replace(cell.world, gains=(0.0,) * N_ARMS))
        for cell in _one_arm(seeds)
        if min(cell.world.sizes) == RAREST[0]
    ]


def _null_arms(seeds: Sequence[int]) -> list[Cell]:
    return [replace(cell, ask=_family) for cell in _among_many(seeds)]


def _unlike_arms(seeds: Sequence[int]) -> list[Cell]:
    """One arm's runs vary three times as much as those of all others."""
    noisier = (1.0, 3.0, *(1.0,) * (N_ARMS - 1))
    return [
        replace(cell, world=replace(cell.world, noisier=noisier), ask=_family)
        for cell in _among_many(seeds)
        if cell.name != "images"
    ]


def _one_gains(seeds: Sequence[int]) -> list[Cell]:
    cells = []
    for gain in GAINS:
        world = replace(_world(RAREST[0], **DOMINANT["mixed"]), gains=(gain, *(0.0,) * (N_ARMS - 1)))
        name = f"+{100 * world.delta(1):.1f} pt"
        cells += [Cell(name=name, world=world, n_seeds=n, ask=_power) for n in seeds]
    return cells


STUDIES: Mapping[str, Callable[[Sequence[int]], list[Cell]]] = {
    "coverage": _one_arm,
    "pooling": _among_many,
    "family": _null_arms,
    "unlike": _unlike_arms,
    "power": _one_gains,
}
