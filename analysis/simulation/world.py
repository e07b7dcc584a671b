"""A world with a known truth: every run of every arm, right or wrong on every image, drawn from it.

Run i of arm a is right on image j of class k where

    threshold_k + gain_a + ease_j + response_aj + seed_i + shift_ai + own_aij > 0,

all but threshold and gain normal. `shift` is what makes runs differ, `response` what makes images differ between
arms, `own` is left between run and image; `ease` and `seed` are common to all arms: pairing takes them away.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.influence import Measured, Units, units_of
from analysis.metrics import Floats

BASELINE = "baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where runs, arms and images come from."""

    sizes: Sequence[int]
    """Test images of each class, [K]."""
    shift: float
    """Standard deviation of what a run does to all images, in units of a logit's noise."""
    response: float
    """The same of what an arm does to an image, in all its runs."""
    own: float = 0.5
    """The same of what a run does to an image, and no other run does."""
    ease: float = 1.0
    """The same of an image, for all arms alike."""
    seed: float = 0.0
    """The same of a seed, for all arms alike."""
    gains: Sequence[float] = (0.0,)
    """What each arm adds to the threshold; the baseline adds nought."""
    noisier: Sequence[float] = field(default=())
    """How many times larger `shift` is in each arm, [A]; empty: the same in all."""

    @property
    def label(self) -> NDArray[np.int64]:
        """The class of each image, [N]."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def units(self) -> Units:
        """Every image by itself, within its class."""
        label = self.label
        return units_of(label, np.char.zfill(np.arange(len(label)).astype(str), 9), len(self.sizes))

    def delta(self, arm: int) -> float:
        """The true delta of balanced accuracy of an arm (1 is the first after the baseline)."""
        return self._accuracy(self.gains[arm - 1], arm) - self._accuracy(0.0, 0)

    def _accuracy(self, gain: float, arm: int) -> float:
        sd = math.sqrt(self.ease**2 + self.response**2 + self.seed**2 + self._shifts[arm] ** 2 + self.own**2)
        return float(stats.norm.cdf((self._thresholds + gain) / sd).mean())

    @property
    def _shifts(self) -> Floats:
        times = np.asarray(self.noisier) if self.noisier else np.ones(1 + len(self.gains))
        return self.shift * times

    @property
    def _thresholds(self) -> Floats:
        """Common classes are easier: recalls of about .8 down to .55."""
        return np.linspace(1.0, 0.15, len(self.sizes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One sweep drawn from a world, on balanced accuracy; the baseline first."""

    arms: tuple[Measured, ...]

    def differences(self, arm: int) -> Measured:
        """The paired runs of an arm minus the baseline's."""
        one, other = self.arms[arm], self.arms[0]
        return Measured(
            arm=one.arm,
            seeds=one.seeds,
            scores=one.scores - other.scores,
            influence=one.influence - other.influence,
        )


def drawn(world: World, *, n_seeds: int, n_sets: int, rng_seed: int) -> Iterator[Drawn]:
    """`n_sets` sweeps of `n_seeds` paired runs an arm."""
    scale = [round(1e6 * sd) for sd in (world.shift, world.response)]
    rng = np.random.default_rng([rng_seed, n_seeds, *scale, *world.sizes])
    for _ in range(n_sets):
        yield _sweep(world, n_seeds, rng)


def _sweep(world: World, n_seeds: int, rng: np.random.Generator) -> Drawn:
    label, sizes = world.label, np.asarray(world.sizes, dtype=np.float64)
    common = world._thresholds[label] + rng.normal(0, world.ease, len(label))
    of_seeds = rng.normal(0, world.seed, (n_seeds, 1))
    arms = []
    for number, gain in enumerate((0.0, *world.gains)):
        mean = common + gain + rng.normal(0, world.response, len(label))
        runs = mean + of_seeds + rng.normal(0, world._shifts[number], (n_seeds, 1))
        right = runs + world.own * rng.standard_normal((n_seeds, len(label)), dtype=np.float32) > 0
        arms.append(_measured(BASELINE if not number else f"arm{number}", right, label, sizes))
    return Drawn(arms=tuple(arms))


def _measured(arm: str, right: NDArray[np.bool_], label: NDArray[np.int64], sizes: Floats) -> Measured:
    """Balanced accuracy of runs [R, N] and each image's influence on it, (x - class mean) / (K n_k)."""
    starts = np.cumsum(sizes, dtype=np.int64) - sizes.astype(np.int64)
    recalls = np.add.reduceat(right, starts, axis=1, dtype=np.float64) / sizes
    influence = (right - recalls[:, label]) / (len(sizes) * sizes)[label]
    return Measured(arm=arm, seeds=tuple(range(len(right))), scores=recalls.mean(axis=1), influence=influence)
