"""Coverage, family-wise error and power of the intervals, over sweeps drawn from a world whose truth is known."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.alternatives import percentile_interval, plainly_weighted, seed_percentile, seed_t
from analysis.inference import Inference, infer
from analysis.influence import Measured, Units
from analysis.metrics import Floats
from analysis.noise import RUN_SD, Term, seed_noise
from analysis.resampling import Draws, deviations, linear_image_deviations, widened
from analysis.simulation.world import BASELINE, Drawn, World, drawn
from analysis.variance import Contrast, Interval, contrast, satterthwaite, t_interval

_BATCH_BYTES = 2**25
"""Replicates of images that are held at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How thoroughly a study is done."""

    n_sets: int
    """Sweeps drawn of each world."""
    n_resamples: int
    rng_seed: int

    def draws(self, number: int) -> Draws:
        """The draws of one set, or of the batch that it begins."""
        return Draws(n_resamples=self.n_resamples, seed=self.rng_seed + number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of sets, with how well their number shows it."""

    hits: int
    n_sets: int

    @property
    def value(self) -> float:
        """The share."""
        return self.hits / self.n_sets

    @property
    def error(self) -> float:
        """Its standard error."""
        return math.sqrt(self.value * (1 - self.value) / self.n_sets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How often one method's 95% interval of one delta holds the truth, and how wide it is."""

    method: str
    held: Share
    width: float
    """Mean over sets, a fraction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One drawn sweep, judged: every delta with its inference."""

    sweep: Drawn
    contrasts: Sequence[Contrast]
    inferences: Sequence[Inference]
    of_runs: Floats
    """What drawing images anew adds to the first arm's delta of each seed, [R, B]; empty where not asked for."""
    draws: Draws


def coverage(world: World, n_seeds: int, size: Size) -> list[Coverage]:
    """Each method's interval of the first arm's delta; dermtune's is that of the arm alone."""
    truth = world.delta(1)
    intervals: dict[str, list[Interval]] = {}
    for judged in judged_sets(world, n_seeds, size):
        for method, interval in _intervals(judged).items():
            intervals.setdefault(method, []).append(interval)
    return [
        Coverage(
            method=method,
            held=Share(hits=sum(i.low <= truth <= i.high for i in found), n_sets=len(found)),
            width=float(np.mean([i.high - i.low for i in found])),
        )
        for method, found in intervals.items()
    ]


def family_errors(world: World, n_seeds: int, size: Size) -> dict[str, Share]:
    """How often any arm of a world without gains is found to differ: by each method, at 5% for all arms together.

    `keep` is the verdict's: some simultaneous interval lies above nought.
    """
    return _shares(
        {
            "keep": any(i.simultaneous.low > 0 for i in judged.inferences),
            **{method: any(claims) for method, claims in _claims(judged).items()},
        }
        for judged in judged_sets(world, n_seeds, size, of_runs=False)
    )


def power(world: World, n_seeds: int, size: Size) -> dict[str, Share]:
    """How often the first arm, the one with a gain, is found better, at 5% for all arms together."""
    return _shares(
        {method: judged.contrasts[0].delta > 0 and claims[0] for method, claims in _claims(judged).items()}
        for judged in judged_sets(world, n_seeds, size, of_runs=False)
    )


def _shares(found: Iterable[Mapping[str, bool]]) -> dict[str, Share]:
    """The share of sets in which each method finds what it looks for."""
    sets = list(found)
    return {method: Share(hits=sum(of_set[method] for of_set in sets), n_sets=len(sets)) for method in sets[0]}


def judged_sets(world: World, n_seeds: int, size: Size, *, of_runs: bool = True) -> Iterator[Judged]:
    """Sweeps drawn and judged as `analysis.comparison` does it; images are drawn anew once for a whole batch."""
    units, n_rows = world.units, len(world.gains) + 1 + (n_seeds if of_runs else 0)
    batch = max(1, _BATCH_BYTES // (8 * n_rows * size.n_resamples))
    sweeps = drawn(world, n_seeds=n_seeds, n_sets=size.n_sets, rng_seed=size.rng_seed)
    for start in range(0, size.n_sets, batch):
        some = list(itertools.islice(sweeps, batch))
        rows = np.concatenate([_rows(sweep, of_runs) for sweep in some])
        moved = linear_image_deviations(rows, units, size.draws(start))
        for number, (sweep, of_set) in enumerate(zip(some, np.split(moved, len(some)), strict=True)):
            yield _judged(sweep, of_set, units, size.draws(start + number))


def _rows(sweep: Drawn, of_runs: bool) -> Floats:
    """Influence on each arm's mean, then on each run of the first arm's delta, [A (+ R), G]."""
    means = np.stack([arm.influence.mean(axis=0) for arm in sweep.arms])
    return np.concatenate([means, sweep.differences(1).influence]) if of_runs else means


def _judged(sweep: Drawn, moved: Floats, units: Units, draws: Draws) -> Judged:
    noise = seed_noise(sweep.arms, run_sd=RUN_SD)
    names = [arm.arm for arm in sweep.arms]
    contrasts = [contrast(name, {name: 1.0, BASELINE: -1.0}, noise, units) for name in names[1:]]
    of_images = dict(zip(names, moved, strict=False))
    spread = widened(deviations(contrasts, of_images, draws, estimand="both"), contrasts, draws, estimand="both")
    return Judged(
        sweep=sweep,
        contrasts=contrasts,
        inferences=infer([c.delta for c in contrasts], spread),
        of_runs=moved[len(names) :],
        draws=draws,
    )


def _intervals(judged: Judged) -> Mapping[str, Interval]:
    c, runs, draws = judged.contrasts[0], judged.sweep.differences(1), judged.draws
    plain = plainly_weighted(runs, judged.of_runs, draws)
    return {
        "dermtune": judged.inferences[0].alone,
        "closed form": t_interval(c.delta, c.total("both")),
        "closed form, not guarded": t_interval(c.delta, _not_guarded(c)),
        "seed t": seed_t(runs),
        "seed percentile": seed_percentile(runs, draws),
        "images alone": percentile_interval(c.delta + judged.of_runs.mean(axis=0), 0.95),
        "plain multi-bootstrap": percentile_interval(plain, 0.95),
    }


def _not_guarded(c: Contrast) -> Term:
    """The variance with Satterthwaite's degrees of freedom as they are usually reckoned."""
    return satterthwaite(c.total("both").variance, (c.seed, c.img, c.res))


def _claims(judged: Judged) -> Mapping[str, Sequence[bool]]:
    """Whether each method finds each arm different from the baseline, all arms judged together at 5%."""
    m = len(judged.contrasts)
    bonferroni = [_closed_p(c) <= 0.05 / m for c in judged.contrasts]
    by_seeds = [_paired_p(judged.sweep.differences(a)) <= 0.05 / m for a in range(1, m + 1)]
    return {
        "max-t": [i.p_adjusted <= 0.05 for i in judged.inferences],
        "simultaneous interval": [not i.simultaneous.low <= 0 <= i.simultaneous.high for i in judged.inferences],
        "Holm": [i.p_holm <= 0.05 for i in judged.inferences],
        "Bonferroni": bonferroni,
        "each arm's seeds, Bonferroni": by_seeds,
    }


def _closed_p(c: Contrast) -> float:
    total = c.total("both")
    return float(2 * stats.t.sf(abs(c.delta) / math.sqrt(total.variance), total.df)) if total.variance else 1.0


def _paired_p(differences: Measured) -> float:
    se = float(differences.scores.std(ddof=1)) / math.sqrt(len(differences.scores))
    return (
        float(2 * stats.t.sf(abs(float(differences.scores.mean())) / se, len(differences.scores) - 1))
        if se
        else 1.0
    )
