"""The closed form: how far a delta would move with other seeds and other images.

Two-way crossed random effects, seeds x units, units nested in fixed strata. Written for the units' influence
u [R, G], centred within strata, so that one formula serves every metric, class weight and group size; for balanced
accuracy of ungrouped images it is (1/K^2) sum_k S2_k / n_k and its companions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.influence import Measured, Units
from analysis.metrics import Floats
from analysis.records import Estimand


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A variance with the degrees of freedom it is known by; infinite where it is taken as known."""

    variance: float
    df: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedPart:
    """Runs that vary together by seed: the deltas of paired runs, or the scores of one arm."""

    key: str
    """Parts with one key share their draws of seeds."""
    deviations: Floats
    """Contributions to the delta minus their mean, [R]; where the noise is assumed, its standard deviation, [1]."""
    assumed: bool
    """There is one run, and its run-to-run noise is taken as known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A delta, arm minus baseline, taken apart for the closed form and the bootstrap."""

    arm: str
    baseline: str
    delta: float
    parts: tuple[SeedPart, ...]
    """One where runs are paired by seed, else one for each arm."""
    influence: Floats
    """Mean influence of each unit on the delta, [G], centred within strata."""
    seed: Term
    img: Term
    res: Term
    seed_of_one: float
    """Variance of the delta of one run each, from seeds."""
    res_of_one: float
    """The same, from the seed x unit residual."""
    notes: tuple[str, ...] = ()

    @property
    def img_alone(self) -> float:
        """The images' variance without the residual, which the seeds' variance has in it already; never below 0."""
        return max(0.0, self.img.variance - self.res.variance)

    def total(self, estimand: Estimand) -> Term:
        """The delta's variance for the population that the interval speaks for.

        `both`: the residual stands in the seeds' and in the images' variance and is taken out once. `seeds`: this
        test set is fixed, the seeds' variance in full. `images`: these checkpoints are fixed, so what they share
        and what is each one's own both vary with the images: the images' variance in full.
        """
        return _total(self.seed, self.img, self.res, estimand)

    def forecast(self, n_seeds: int, estimand: Estimand) -> Term:
        """`total` as it would be with `n_seeds` (two or more) runs of each arm and the same images."""
        seed = Term(variance=self.seed_of_one / n_seeds, df=n_seeds - 1)
        res = Term(variance=self.res_of_one / n_seeds, df=math.inf)
        img = Term(variance=self.img_alone + res.variance, df=self.img.df)
        return _total(seed, img, res, estimand)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Two ends, as fractions."""

    low: float
    high: float


def contrast(arm: Measured, baseline: Measured, units: Units, *, run_sd: float) -> Contrast:
    """The delta of two arms: paired by seed where both have the same seeds (two or more), else unpaired.

    `run_sd` is the run-to-run standard deviation of one arm, taken as known for an arm with one run.
    """
    paired = arm.seeds == baseline.seeds and len(arm.seeds) > 1
    if paired:
        differences = Measured(
            arm=arm.arm,
            seeds=arm.seeds,
            scores=arm.scores - baseline.scores,
            influence=arm.influence - baseline.influence,
        )
        runs = [(f"seeds {arm.seeds}", 1, differences)]
    else:
        runs = [(arm.arm, 1, arm), (baseline.arm, -1, baseline)]
    seed_terms = [_seed_term(run.scores, run_sd) for _, _, run in runs]
    res_terms = [pooled(_residual_terms(run.influence, units)) for _, _, run in runs]
    n_runs = [len(run.scores) for _, _, run in runs]
    influence = arm.influence.mean(axis=0) - baseline.influence.mean(axis=0)
    return Contrast(
        arm=arm.arm,
        baseline=baseline.arm,
        delta=_delta(arm.scores, baseline.scores, paired),
        parts=tuple(_part(key, sign, run.scores, run_sd) for key, sign, run in runs),
        influence=influence,
        seed=pooled(seed_terms),
        img=pooled(_image_terms(influence, units)),
        res=pooled(res_terms),
        seed_of_one=sum(n * term.variance for n, term in zip(n_runs, seed_terms, strict=True)),
        res_of_one=sum(n * term.variance for n, term in zip(n_runs, res_terms, strict=True)),
        notes=_notes(arm, baseline, influence, run_sd, units),
    )


def _total(seed: Term, img: Term, res: Term, estimand: Estimand) -> Term:
    match estimand:
        case "seeds":
            return seed
        case "images":
            return img
        case "both":
            return satterthwaite(seed.variance + max(0.0, img.variance - res.variance), (seed, img, res))


def satterthwaite(variance: float, terms: Sequence[Term]) -> Term:
    """`variance` with V^2 / sum_i (v_i^2 / df_i) degrees of freedom; infinite where no term is uncertain.

    A sum of variances is known no worse than the worst of them. Where one is subtracted, the formula falls below
    that and to nought, and its interval grows to any width, so the worst term's degrees of freedom are the least.
    """
    spread = sum(term.variance**2 / term.df for term in terms)
    if variance <= 0 or spread == 0:
        return Term(variance=variance, df=math.inf)
    least = min(term.df for term in terms if term.variance > 0)
    return Term(variance=variance, df=max(variance**2 / spread, least))


def pooled(terms: Sequence[Term]) -> Term:
    """The sum of independent variances."""
    return satterthwaite(math.fsum(term.variance for term in terms), terms)


def t_interval(delta: float, variance: Term, level: float = 0.95) -> Interval:
    """The delta, t standard errors either way."""
    half = t_quantile(variance.df, level) * math.sqrt(variance.variance)
    return Interval(low=delta - half, high=delta + half)


def t_quantile(df: float, level: float) -> float:
    """Half-width of the two-sided interval in standard errors; the normal's for infinite `df`."""
    return float(stats.t.ppf((1 + level) / 2, df))


def _seed_term(scores: Floats, run_sd: float) -> Term:
    n = len(scores)
    if n == 1:
        return Term(variance=run_sd**2, df=math.inf)
    return Term(variance=float(scores.var(ddof=1)) / n, df=n - 1)


def _image_terms(influence: Floats, units: Units) -> list[Term]:
    """One term a stratum: G/(G-1) sum_g u_g^2."""
    variances = units.by_stratum(units.inflation * influence**2)
    return [Term(variance=float(v), df=n - 1) for v, n in zip(variances, units.sizes, strict=True)]


def _residual_terms(influence: Floats, units: Units) -> list[Term]:
    """One term a stratum: G/(G-1) sum_{i, g} r_ig^2 / (R (R-1)); none where there is one run."""
    n = len(influence)
    if n == 1:
        return []
    squares = ((influence - influence.mean(axis=0)) ** 2).sum(axis=0) / (n * (n - 1))
    variances = units.by_stratum(units.inflation * squares)
    return [
        Term(variance=float(v), df=(n - 1) * (size - 1)) for v, size in zip(variances, units.sizes, strict=True)
    ]


def _part(key: str, sign: int, scores: Floats, run_sd: float) -> SeedPart:
    assumed = len(scores) == 1
    deviations = np.asarray([run_sd]) if assumed else scores - scores.mean()
    return SeedPart(key=key, deviations=sign * deviations, assumed=assumed)


def _delta(arm: Floats, baseline: Floats, paired: bool) -> float:
    """Differences first where runs are paired, so that equal predictions give exactly zero."""
    return float((arm - baseline).mean() if paired else arm.mean() - baseline.mean())


def _notes(arm: Measured, baseline: Measured, influence: Floats, run_sd: float, units: Units) -> tuple[str, ...]:
    notes = list(units.notes)
    single = [m.arm for m in (arm, baseline) if len(m.seeds) == 1]
    if single:
        noise = f"a run-to-run standard deviation of {run_sd:g} is assumed, not measured"
        notes.append(f"one run of {' and of '.join(single)}: {noise}")
    if arm.seeds != baseline.seeds:
        notes.append("the arms' seeds differ: images are paired, seeds are not")
    if not influence.any() and arm.scores.mean() == baseline.scores.mean():
        notes.append("no discordant images")
    return tuple(notes)
