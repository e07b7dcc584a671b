"""How an arm's score varies from seed to seed: one variance for all arms, but for an arm that varies more.

Runs that share a seed form a block. With blocks, the mean square of seeds x arms is the variance of one arm's score
around what its seed does to every arm; without them, the variance within arms is (Montgomery, Design and Analysis
of Experiments, sections 3.3 and 4.1). Two such variances make one of a delta. A delta whose own runs vary more than
the rest lets chance explain rests on them alone, as a paired or Welch's t test does.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.influence import Measured
from analysis.metrics import Floats

RUN_SD = 0.006
"""Run-to-run standard deviation of an arm to assume where nothing was measured, a fraction: 0.6 points."""
UNLIKE = 0.05
"""Chance that the runs of a delta are taken to vary more than the rest where they do not."""
EXPECTED_CORRELATION = 0.4
"""Correlation of two arms' scores over seeds at which it is settled whether pairing pays; .08 to .58 were seen."""
PROVEN = 0.005
"""p of an F test of seeds against seeds x arms below which pairing pays however few arms and seeds there are."""
_MOST_CELLS = 2**20
"""Of a matrix that is solved as it stands: 200 arms with 20 seeds."""
BLOCKS, WITHIN, ASSUMED = "seeds x arms", "within arms", "assumed"
"""Names of the estimates that parts share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A variance with the degrees of freedom it is known by; infinite where it is taken as known."""

    variance: float
    df: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedPart:
    """A share of a delta's chance that comes from seeds."""

    key: str
    """Parts with one key move together: an arm's mean, or a delta of paired runs."""
    scale: float
    """Standard deviation of what it adds to the delta, with the sign that it adds it with."""
    df: float
    """Degrees of freedom of the estimate that `scale` rests on; infinite where it is assumed."""
    estimate: str
    """Which estimate that is: parts that rest on one are wrong together."""

    @property
    def own(self) -> bool:
        """Whether it rests on runs that vary more than the other arms', and on no others."""
        return self.estimate == self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedNoise:
    """Run-to-run noise of all arms of a design, on one metric."""

    runs: Mapping[str, Measured]
    run_sd: float
    """Standard deviation assumed of an arm with one run."""
    within: Term | None
    """Variance of one run's score, pooled within arms; None with one run an arm."""
    blocks: Term | None
    """Mean square of seeds x arms: the same around what a seed does to all arms; None where no seed is shared."""
    alike: float | None
    """p of Bartlett's test that all variances are equal; None where there are fewer than two to compare."""

    @property
    def seed_correlation(self) -> float | None:
        """Correlation of two arms' scores over seeds, 1 - MS(seeds x arms) / MS(within arms); None without both."""
        if self.within is None or self.blocks is None or not self.within.variance:
            return None
        return 1 - self.blocks.variance / self.within.variance

    @property
    def pairs(self) -> bool:
        """Whether deltas of paired runs leave out what a seed does to all arms alike.

        They do where that is expected to pay, or where seeds plainly shift all arms alike.
        """
        if self.blocks is None or self.within is None:
            return False
        return pairing_pays(self.blocks.df, self.within.df) or self._seeds_shift(self.blocks, self.within)

    def _seeds_shift(self, blocks: Term, within: Term) -> bool:
        """Whether seeds differ by more than seeds x arms explain, by an F test at `PROVEN`."""
        df = within.df - blocks.df
        of_seeds = (within.df * within.variance - blocks.df * blocks.variance) / df if df else 0.0
        return of_seeds > 0 and (
            not blocks.variance or float(stats.f.sf(of_seeds / blocks.variance, df, blocks.df)) < PROVEN
        )

    def parts(self, name: str, coefficients: Mapping[str, float]) -> tuple[SeedPart, ...]:
        """The seeds' parts in the contrast sum_a c_a (mean score of arm a); none where all its runs agree."""
        of = {arm: self.runs[arm] for arm in coefficients}
        if is_paired(list(of.values())):
            return self._paired(name, coefficients, next(iter(of.values())).seeds)
        alpha = UNLIKE / len(of)
        if self.pairs and all(len(run.seeds) > 1 and not self._noisier(arm, alpha) for arm, run in of.items()):
            return self._partly_paired(coefficients)
        return tuple(self._unpaired(arm, c, alpha) for arm, c in coefficients.items())

    def _paired(self, name: str, coefficients: Mapping[str, float], seeds: tuple[int, ...]) -> tuple[SeedPart, ...]:
        differences = np.sum([c * self.runs[arm].scores for arm, c in coefficients.items()], axis=0)
        spread = float(differences.var(ddof=1))
        if not spread and self._agree(coefficients):
            return ()
        estimate, pool = (BLOCKS, self.blocks) if self.pairs else (WITHIN, self.within)
        own = Term(variance=spread / math.fsum(c**2 for c in coefficients.values()), df=len(seeds) - 1)
        if pool is None or self._varies_more(own, coefficients):
            scale = math.sqrt(spread / len(seeds))
            return (SeedPart(key=name, scale=scale, df=own.df, estimate=name),)
        sd = math.sqrt(pool.variance / len(seeds))
        return tuple(
            SeedPart(key=arm, scale=c * sd, df=pool.df, estimate=estimate) for arm, c in coefficients.items()
        )

    def _varies_more(self, own: Term, coefficients: Mapping[str, float]) -> bool:
        """Whether paired runs vary more than the rest of the blocks; of two arms alone, one than the other."""
        if self.blocks is not None and self.blocks.df > own.df:
            return _exceeds(own, self.blocks, UNLIKE)
        return not self.pairs and any(self._noisier(arm, UNLIKE / len(coefficients)) for arm in coefficients)

    def _noisier(self, arm: str, alpha: float) -> bool:
        """Whether an arm's runs vary more than those of the other arms."""
        scores = self.runs[arm].scores
        own = Term(variance=float(scores.var(ddof=1)), df=len(scores) - 1)
        return self.within is not None and _exceeds(own, self.within, alpha)

    def _agree(self, coefficients: Mapping[str, float]) -> bool:
        """Whether every image got the same from all these arms, in every run; unknown where there are no images."""
        moved = np.sum([c * self.runs[arm].influence for arm, c in coefficients.items()], axis=0)
        return bool(moved.size and not moved.any())

    def _partly_paired(self, coefficients: Mapping[str, float]) -> tuple[SeedPart, ...]:
        """Each arm's part around its seeds, and of each seed that arms do not share alike what it does to all arms.

        With weights w_ai = c_a / R_a the variance is MS sum w^2 + (s^2 - MS) sum_i (sum_a w_ai)^2, that of a design
        with random blocks; of seeds that no two arms share it is s^2 sum w^2.
        """
        if self.blocks is None or self.within is None:
            return ()
        of_blocks = math.sqrt(self.blocks.variance)
        shift = math.sqrt(max(0.0, self.within.variance - self.blocks.variance))
        net: dict[int, float] = {}
        for arm, c in coefficients.items():
            for seed in self.runs[arm].seeds:
                net[seed] = net.get(seed, 0.0) + c / len(self.runs[arm].seeds)
        around = [
            SeedPart(key=arm, scale=c * of_blocks / math.sqrt(n), df=self.blocks.df, estimate=BLOCKS)
            for arm, c in coefficients.items()
            for n in (len(self.runs[arm].seeds),)
        ]
        shifts = [
            SeedPart(key=f"seed {seed} in all arms", scale=weight * shift, df=self.within.df, estimate=WITHIN)
            for seed, weight in net.items()
        ]
        return (*around, *(part for part in shifts if part.scale))

    def _unpaired(self, arm: str, coefficient: float, alpha: float) -> SeedPart:
        n_seeds = len(self.runs[arm].seeds)
        if n_seeds == 1:
            return SeedPart(key=arm, scale=coefficient * self.run_sd, df=math.inf, estimate=ASSUMED)
        if self.within is None or self._noisier(arm, alpha):
            scale = coefficient * float(self.runs[arm].scores.std(ddof=1)) / math.sqrt(n_seeds)
            return SeedPart(key=arm, scale=scale, df=n_seeds - 1, estimate=arm)
        scale = coefficient * math.sqrt(self.within.variance / n_seeds)
        return SeedPart(key=arm, scale=scale, df=self.within.df, estimate=WITHIN)


@functools.lru_cache(maxsize=1024)
def pairing_pays(df_blocks: float, df_within: float) -> bool:
    """Whether blocks are expected to give the shorter interval, at a correlation of `EXPECTED_CORRELATION`.

    They leave out what seeds do to all arms alike and pay with degrees of freedom, which two arms with three seeds
    cannot spare. Settled by the design alone: a choice by the data would not hold its error.
    """
    blocks, within = (float(stats.t.ppf(0.975, df)) for df in (df_blocks, df_within))
    return blocks * math.sqrt(1 - EXPECTED_CORRELATION) < within


def seed_noise(runs: Sequence[Measured], *, run_sd: float) -> SeedNoise:
    """The noise of these arms, the baseline first.

    An arm whose runs are the baseline's own, score by score, tells nothing of chance and is left out of the pool.
    """
    return replace(pooled_noise(runs, run_sd=run_sd), alike=_alike(_telling(runs), runs[0]))


def pooled_noise(runs: Sequence[Measured], *, run_sd: float) -> SeedNoise:
    """The same, without asking whether the arms vary alike, which no interval rests on."""
    telling = _telling(runs)
    return SeedNoise(
        runs={arm.arm: arm for arm in runs},
        run_sd=run_sd,
        within=_within(telling),
        blocks=_blocks(telling),
        alike=None,
    )


def _telling(runs: Sequence[Measured]) -> list[Measured]:
    baseline = runs[0]
    return [arm for arm in runs if len(arm.seeds) > 1 and (arm is baseline or not _equal(arm, baseline))]


def is_paired(runs: Sequence[Measured]) -> bool:
    """Whether these arms have the same seeds, two or more."""
    return len(runs[0].seeds) > 1 and all(arm.seeds == runs[0].seeds for arm in runs)


def correlation(arm: Measured, baseline: Measured) -> float | None:
    """Pearson's r of two arms' scores over the seeds that both have; None below three seeds or without variance."""
    shared = sorted({*arm.seeds} & {*baseline.seeds})
    x, y = (np.asarray([m.scores[m.seeds.index(seed)] for seed in shared]) for m in (arm, baseline))
    if len(shared) < 3 or not x.std() or not y.std():
        return None
    return float(np.corrcoef(x, y)[0, 1])


def sd_interval(term: Term, level: float = 0.95) -> tuple[float, float]:
    """Both ends of the interval of a standard deviation: sqrt(df s^2 / chi^2 quantile), for normal scores."""
    tail = (1 - level) / 2
    low, high = (math.sqrt(term.df * term.variance / stats.chi2.ppf(q, term.df)) for q in (1 - tail, tail))
    return low, high


def _exceeds(own: Term, pool: Term, alpha: float) -> bool:
    """Whether a variance is larger than the rest of the pool that it is one part of, by an F test at `alpha`."""
    df = pool.df - own.df
    if df < 1:
        return False
    rest = max(0.0, pool.df * pool.variance - own.df * own.variance) / df
    return not rest or float(stats.f.sf(own.variance / rest, own.df, df)) < alpha


def _equal(arm: Measured, other: Measured) -> bool:
    return arm.seeds == other.seeds and np.array_equal(arm.scores, other.scores)


def _within(arms: Sequence[Measured]) -> Term | None:
    """The variance within arms, pooled by degrees of freedom."""
    df = sum(len(arm.seeds) - 1 for arm in arms)
    if not df:
        return None
    squares = math.fsum(float(((arm.scores - arm.scores.mean()) ** 2).sum()) for arm in arms)
    return Term(variance=squares / df, df=df)


def _blocks(arms: Sequence[Measured]) -> Term | None:
    """Residual mean square of score ~ arm + seed, by least squares, so that a missing run costs one run."""
    seeds = sorted(set().union(*(arm.seeds for arm in arms)))
    cells = [(a, seeds.index(seed)) for a, arm in enumerate(arms) for seed in arm.seeds]
    if len(arms) < 2:
        return None
    scores = np.concatenate([arm.scores for arm in arms])
    if len(cells) * (len(arms) + len(seeds)) > _MOST_CELLS:
        return _around_arms(np.asarray(cells), scores, len(arms), len(seeds))
    design = np.zeros((len(cells), len(arms) + len(seeds)))
    for row, (a, s) in enumerate(cells):
        design[row, a] = design[row, len(arms) + s] = 1
    fitted, _, rank, _ = np.linalg.lstsq(design, scores, rcond=None)
    return _mean_square(scores - design @ fitted, len(cells) - int(rank))


def _around_arms(cells: NDArray[np.int64], scores: Floats, n_arms: int, n_seeds: int) -> Term | None:
    """The same with the arms' means taken out of scores and seeds first (Frisch and Waugh 1933).

    Least squares takes the cube of its columns: with a column an arm, of a thousand arms half a minute.
    """
    arm, seed = cells.T
    n_runs = np.bincount(arm, minlength=n_arms)
    means = np.bincount(arm, scores, minlength=n_arms) / n_runs
    of_arm = np.zeros((n_arms, n_seeds))
    of_arm[arm, seed] = 1
    design = np.eye(n_seeds)[seed] - (of_arm / n_runs[:, None])[arm]
    around = scores - means[arm]
    fitted, _, rank, _ = np.linalg.lstsq(design, around, rcond=None)
    return _mean_square(around - design @ fitted, len(cells) - n_arms - int(rank))


def _mean_square(residuals: Floats, df: int) -> Term | None:
    return Term(variance=float((residuals**2).sum()) / df, df=df) if df > 0 else None


def _alike(arms: Sequence[Measured], baseline: Measured) -> float | None:
    """Bartlett's p-value: of the deltas' variances where all arms share seeds, else of the arms' own.

    Deltas share the baseline, which makes the test cautious in finding a difference.
    """
    paired = len(arms) > 1 and is_paired(arms) and arms[0] is baseline
    samples: list[Floats] = (
        [arm.scores - baseline.scores for arm in arms[1:]] if paired else [a.scores for a in arms]
    )
    if len(samples) < 2:
        return None
    spreads = [float(sample.std()) for sample in samples]
    if not all(spreads):
        return 0.0 if any(spreads) else None
    return float(stats.bartlett(*samples).pvalue)
