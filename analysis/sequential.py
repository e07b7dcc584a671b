"""Sweeps of scores alone, drawn from their variances and followed through their looks in closed form.

The noise, how it is pooled and paired, and what a look makes of it are those of a report; only its replicates are
replaced, by Dunnett's distribution, which of seeds alone they reproduce. A sweep takes milliseconds.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtr

from analysis.adaptive import Course, Stage, Standing, fate_of, follow
from analysis.influence import Measured
from analysis.looks import ALPHA
from analysis.metrics import Floats
from analysis.multiplicity import dunnett_probability
from analysis.noise import RUN_SD, SeedNoise, Term, pooled_noise
from analysis.planning import Variation
from analysis.records import Fate
from analysis.variance import Contrast, effective_seeds, seed_term, t_quantile

BASELINE = "baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """A sweep whose truth is known."""

    deltas: tuple[float, ...]
    """True delta of each arm but the baseline, a fraction."""
    variation: Variation
    margin: float

    @property
    def arms(self) -> tuple[str, ...]:
        """Names, the baseline first."""
        return (BASELINE, *(f"arm{number}" for number in range(1, len(self.deltas) + 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One sweep drawn from a truth."""

    truth: Truth
    scores: Floats
    """Of every arm and seed, [A, R], the baseline first."""
    of_images: Floats
    """What these test images add to each arm's score, [A]."""

    def measured(self, seeds: Mapping[str, int]) -> list[Measured]:
        """The arms that are named, each with its first so many seeds."""
        return [
            Measured(
                arm=arm,
                seeds=tuple(range(seeds[arm])),
                scores=self.scores[number, : seeds[arm]],
                influence=np.zeros((seeds[arm], 0)),
            )
            for number, arm in enumerate(self.truth.arms)
            if arm in seeds
        ]


def drawn_scores(truth: Truth, *, n_seeds: int, n_sets: int, rng_seed: int) -> Iterator[Scored]:
    """`n_sets` sweeps of normal scores: what an arm is worth, what a seed does to all arms, what a run adds."""
    rng = np.random.default_rng(rng_seed)
    v, n_arms = truth.variation, len(truth.arms)
    shared, own = math.sqrt(max(0.0, v.seed_correlation)) * v.run_sd, math.sqrt(1 - max(0.0, v.seed_correlation))
    worth = np.asarray([0.0, *truth.deltas])[:, None]
    for _ in range(n_sets):
        runs = rng.normal(0, shared, n_seeds) + rng.normal(0, own * v.run_sd, (n_arms, n_seeds))
        of_images = rng.normal(0, v.image_sd / math.sqrt(2), n_arms)
        yield Scored(truth=truth, scores=worth + runs + of_images[:, None], of_images=of_images)


def contrasts(sweep: Scored, seeds: Mapping[str, int]) -> list[Contrast]:
    """The delta of each arm with so many seeds each, taken apart."""
    noise = pooled_noise(sweep.measured(seeds), run_sd=RUN_SD)
    images = Term(variance=sweep.truth.variation.image_sd**2, df=math.inf)
    means = {arm: float(runs.scores.mean()) for arm, runs in noise.runs.items()}
    return [_contrast(arm, noise, images, means) for arm in seeds if arm != BASELINE]


def _contrast(arm: str, noise: SeedNoise, images: Term, means: Mapping[str, float]) -> Contrast:
    """What `analysis.variance.contrast` makes of runs of which no image is known: paired where seeds are shared."""
    coefficients, runs, baseline = {arm: 1.0, BASELINE: -1.0}, noise.runs[arm], noise.runs[BASELINE]
    parts, counts = noise.parts(arm, coefficients), (len(runs.seeds), len(baseline.seeds))
    return Contrast(
        name=arm,
        coefficients=coefficients,
        delta=means[arm] - means[BASELINE],
        parts=parts,
        seed=seed_term(parts),
        img=images,
        res=Term(variance=0.0, df=math.inf),
        n_seeds=min(counts),
        most_seeds=max(counts),
        n_effective=effective_seeds(list(coefficients.values()), counts),
        res_of_one=0.0,
    )


def standings(sweep: Scored, stage: Stage) -> dict[str, Standing]:
    """Where each arm that the stage judges stands, by intervals that hold for all arms at once."""
    family = contrasts(sweep, stage.arms)
    return {arm: found for arm, found in _standings(family, stage.look.alpha).items() if arm in stage.judged}


Stands = Callable[[Scored, Stage], Mapping[str, Standing]]
"""What finds where the arms of a sweep stand that a stage judges."""


def _standings(family: Sequence[Contrast], alpha: float) -> dict[str, Standing]:
    """Each contrast's interval by itself, widened by one factor so that all of them hold together."""
    totals = {c.name: c.total("both" if c.img.variance else "seeds") for c in family}  # the same, and sooner found
    own = {c.name for c in family if any(part.own for part in c.parts)}
    dfs = {name: round(total.df, 1) for name, total in totals.items()}
    pooled = [df for name, df in dfs.items() if name not in own]
    widening = _widening(len(pooled), min(pooled, default=1.0), tuple(sorted(dfs[name] for name in own)), alpha)
    found = {}
    for c in family:
        half = widening * _quantile(dfs[c.name], 1 - alpha) * math.sqrt(totals[c.name].variance)
        found[c.name] = Standing(
            gain=c.delta,
            low=c.delta - half,
            high=c.delta + half,
            v_seed=c.seed.variance,
            v_images=c.img_alone,
        )
    return found


_quantile = functools.lru_cache(maxsize=4096)(t_quantile)


@functools.lru_cache(maxsize=4096)
def _widening(n_pooled: int, df: float, own: tuple[float, ...], alpha: float) -> float:
    """How much wider the intervals of a family are than each one's own.

    Deltas on pooled noise are Dunnett's; one that rests on its own runs, with its `own` degrees of freedom, is
    Student's and apart from all others.
    """

    def excess(factor: float) -> float:
        within = dunnett_probability(factor * t_quantile(df, 1 - alpha), n_pooled, df) if n_pooled else 1.0
        for of_own in own:
            within *= 1 - 2 * float(stdtr(of_own, -factor * t_quantile(of_own, 1 - alpha)))
        return within - (1 - alpha)

    return 1.0 if n_pooled + len(own) == 1 else float(brentq(excess, 1.0, 50.0, xtol=1e-4))


def followed(
    sweep: Scored, looks: Sequence[int], *, n_seeds: int | None = None, stands: Stands = standings
) -> "Followed":
    """The sweep with adaptive repeats at these looks, those beyond `n_seeds` seeds left out."""
    last: dict[str, Standing] = {}

    def judge(stage: Stage) -> dict[str, Fate]:
        found = stands(sweep, stage)
        last.update(found)
        n_family, margin = len(stage.arms) - 1, sweep.truth.margin
        return {arm: fate_of(found[arm], margin, stage, n_family) for arm in stage.judged}

    course = follow(sweep.truth.arms, looks, n_complete=lambda _: n_seeds or looks[-1], judge=judge)
    return Followed(course=course, standings=last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A drawn sweep at its end."""

    course: Course
    standings: Mapping[str, Standing]
    """Of every arm, at the look that judges it."""

    @property
    def n_trials(self) -> int:
        """Trials that were paid for."""
        return sum(map(self.course.n_seeds, (self.course.baseline, *self.course.fates)))


def expected_trials(truth: Truth, looks: Sequence[int], *, n_seeds: int, n_sets: int = 20) -> float:
    """Trials that a sweep with adaptive repeats and `n_seeds` seeds at most takes, the mean over drawn ones."""
    sweeps = drawn_scores(truth, n_seeds=looks[-1], n_sets=n_sets, rng_seed=0)
    return float(np.mean([followed(sweep, looks, n_seeds=n_seeds).n_trials for sweep in sweeps]))


def fixed(sweep: Scored, n_seeds: int) -> dict[str, Standing]:
    """Where each arm stands with so many seeds of every arm, judged once."""
    return _standings(contrasts(sweep, dict.fromkeys(sweep.truth.arms, n_seeds)), ALPHA)
