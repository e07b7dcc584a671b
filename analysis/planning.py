"""Planning: what a design can see before anything is run, from variances alone.

R runs of each of A arms, paired by seed, are a layout of seeds x arms. Its residual mean square, run_sd^2 (1 -
correlation), is pooled over all arms and known by (A - 1)(R - 1) degrees of freedom; two arms with few seeds are
better off with run_sd^2 and A (R - 1) (`analysis.noise.pairing_pays`). An effect, a sum of the arms' scores with
weights c, has sum(c^2) / R times that variance from seeds (Montgomery, Design and Analysis of Experiments, section
4.1). Images add theirs. No observed delta comes in: its power would only say its p-value again (Hoenig and Heisey
2001, The American Statistician 55).
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import nctdtr, nctdtrinc

from analysis.multiplicity import dunnett_quantile
from analysis.noise import RUN_SD, pairing_pays
from analysis.words import count

MOST_SEEDS = 1000
"""Beyond so many seeds an arm a design is said to be out of reach."""


class PlanningError(ValueError):
    """What cannot be planned; the message says what must hold and what came."""


def _require(holds: bool, name: str, must: str, got: object) -> None:
    if not holds:
        raise PlanningError(f"{name} must {must}, got {got!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """What scores and deltas vary by, taken as known; fractions."""

    run_sd: float = RUN_SD
    """Run-to-run standard deviation of one arm's score."""
    seed_correlation: float = 0.0
    """Correlation of two arms' scores over the seeds that they share: what pairing gains from."""
    image_sd: float = 0.0
    """Standard deviation of a delta from the test images, apart from what is each run's own."""
    run_sd_from: str = "assumed"
    """Where that figure comes from."""
    seed_correlation_from: str = "assumed"
    image_sd_from: str = "not counted"

    def __post_init__(self) -> None:
        _require(0 < self.run_sd < math.inf, "the run-to-run standard deviation", "be above 0", self.run_sd)
        _require(-1 < self.seed_correlation < 1, "the seed correlation", "lie in (-1, 1)", self.seed_correlation)
        _require(0 <= self.image_sd < math.inf, "the images' standard deviation", "be at least 0", self.image_sd)


ASSUMED = Variation()
"""Of a study that nothing like it went before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A design but for its number of seeds."""

    n_arms: int
    """The baseline included."""
    variation: Variation
    paired: bool = True
    """The arms share their seeds, so that what a seed does to all of them can be left out."""

    def __post_init__(self) -> None:
        _require(self.n_arms >= 2, "the arms", "be at least 2, the baseline included", self.n_arms)

    def pairs(self, n_seeds: int) -> bool:
        """Whether the judge leaves out what a seed does to all arms: not with three seeds of two arms."""
        blocks, within = ((n - 1) * (n_seeds - 1) for n in (self.n_arms, self.n_arms + 1))
        return self.paired and pairing_pays(blocks, within)

    def mean_square(self, n_seeds: int) -> float:
        """Variance of a run's score; where seeds are left out, around what its seed does to all arms."""
        return self.variation.run_sd**2 * (1 - self.variation.seed_correlation * self.pairs(n_seeds))

    def df(self, n_seeds: int) -> int:
        """Degrees of freedom by which `n_seeds` runs of each arm know the mean square."""
        return (self.n_arms - self.pairs(n_seeds)) * (n_seeds - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be seen: a sum of the arms' scores with weights that sum to nought. As it is, a delta."""

    squares: float = 2.0
    """Sum of the squared weights."""
    n_deltas: int = 1
    """Deltas whose images' variance it has; images answer to a lever in all cells alike, and do not average out."""


DELTA = Target()
"""One arm against the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What is to be found, and how surely."""

    target: Target = DELTA
    n_comparisons: int = 1
    """Arms judged against the baseline at once (Dunnett); 1 judges the effect by itself."""
    power: float = 0.8
    """Probability of finding it."""
    level: float = 0.95
    """Probability of finding nothing where no arm differs."""

    def __post_init__(self) -> None:
        _require(0.5 <= self.power < 1, "the power", "be at least 0.5 and below 1", self.power)

    def critical(self, df: float) -> float:
        """Standard errors beyond which an effect is found."""
        return dunnett_quantile(self.n_comparisons, df, self.level)


DELTA_ALONE = Aim()
"""A delta that is judged by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedsNeeded:
    """The fewest seeds an arm that reach an aim."""

    n_seeds: int | None
    """None where no number up to `MOST_SEEDS` does."""
    images_forbid: bool = False
    """No number whatever does: the test images alone hide an effect of this size."""

    @property
    def said(self) -> str:
        """What it takes, in words."""
        if self.images_forbid:
            return "more test images than these"
        return f"{count(self.n_seeds, 'seed')} an arm" if self.n_seeds else f"more than {MOST_SEEDS} seeds an arm"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spread:
    """An effect's standard error, and the degrees of freedom that it will be known by."""

    se: float
    df: float


def main_effect(levels: Sequence[int], lever: int) -> Target:
    """One level of a lever against another, each the mean over all cells of a full grid that have it.

    Args:
        levels: number of levels of each lever.
        lever: its place in `levels`.
    """
    return Target(squares=2 * levels[lever] / math.prod(levels))


def interaction(levels: Sequence[int], one: int, other: int) -> Target:
    """delta(both) - delta(one) - delta(other) of two levers' levels, the mean over all cells of the others."""
    return Target(squares=4 * levels[one] * levels[other] / math.prod(levels), n_deltas=2)


def smallest_detectable(layout: Layout, n_seeds: int | None, aim: Aim = DELTA_ALONE) -> float:
    """The true effect, as a fraction, that is found with the aim's power; infinite with one seed.

    It is found where its t lies beyond the critical value, on the side of its own sign. None for endless seeds.
    """
    if n_seeds is None:
        return _found_from(_images_alone(layout, aim.target), aim)
    return math.inf if n_seeds < 2 else _found_from(_spread(layout, n_seeds, aim.target), aim)


def half_width(layout: Layout, n_seeds: int | None, aim: Aim = DELTA_ALONE) -> float:
    """Half the width of the interval by which the aim judges, as a fraction; infinite with one seed.

    None for endless seeds: what the test images alone leave open.
    """
    if n_seeds is None:
        spread = _images_alone(layout, aim.target)
    elif n_seeds < 2:
        return math.inf
    else:
        spread = _spread(layout, n_seeds, aim.target)
    return spread.se * aim.critical(spread.df)


def power_at(size: float, layout: Layout, n_seeds: int, aim: Aim = DELTA_ALONE) -> float:
    """Probability that a true effect of this size, a fraction, is found; 0 with one seed.

    The aim's own power plays no part.
    """
    if n_seeds < 2:
        return 0.0
    spread = _spread(layout, n_seeds, aim.target)
    return 1 - float(nctdtr(spread.df, size / spread.se, aim.critical(spread.df)))


def seeds_for(size: float, layout: Layout, aim: Aim = DELTA_ALONE) -> SeedsNeeded:
    """The fewest seeds an arm with which a true effect of this size, a fraction, is found. Raises PlanningError."""
    _require(0 < size < math.inf, "the delta", "be above 0", size)
    if _found_from(_images_alone(layout, aim.target), aim) >= size:
        return SeedsNeeded(n_seeds=None, images_forbid=True)
    candidates = range(2, MOST_SEEDS + 1)
    n_blind = bisect.bisect(candidates, False, key=lambda n: smallest_detectable(layout, n, aim) <= size)
    return SeedsNeeded(n_seeds=candidates[n_blind] if n_blind < len(candidates) else None)


def _spread(layout: Layout, n_seeds: int, target: Target) -> _Spread:
    """From seeds and images; Satterthwaite's degrees of freedom, the images' variance taken as known."""
    seeds = target.squares * layout.mean_square(n_seeds) / n_seeds
    total = seeds + _image_variance(layout, target)
    return _Spread(se=math.sqrt(total), df=layout.df(n_seeds) * (total / seeds) ** 2)


def _images_alone(layout: Layout, target: Target) -> _Spread:
    """What endless seeds would leave."""
    return _Spread(se=math.sqrt(_image_variance(layout, target)), df=math.inf)


def _image_variance(layout: Layout, target: Target) -> float:
    return target.n_deltas * layout.variation.image_sd**2


def _found_from(spread: _Spread, aim: Aim) -> float:
    """The noncentrality at which t exceeds its critical value with the aim's power, in the effect's unit."""
    return spread.se * float(nctdtrinc(spread.df, 1 - aim.power, aim.critical(spread.df)))
