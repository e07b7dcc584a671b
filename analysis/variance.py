"""The closed form: how far a delta would move with other seeds and other images.

Two-way crossed random effects, seeds x units, units nested in fixed strata. Written for the units' influence
u [R, G], centred within strata, so that one formula serves every metric, class weight and group size; for balanced
accuracy of ungrouped images it is (1/K^2) sum_k S2_k / n_k and its companions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv, stdtrit

from analysis.influence import Measured, Units
from analysis.metrics import Floats
from analysis.noise import ASSUMED, SeedNoise, SeedPart, Term, is_paired
from analysis.records import Estimand


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A weighted sum of arms' scores, taken apart for the closed form and the bootstrap.

    A delta is the contrast 1 x arm - 1 x baseline; an effect of a factorial has more terms.
    """

    name: str
    """What it is of: the arm of a delta."""
    coefficients: Mapping[str, float]
    """The weight of each arm that enters."""
    delta: float
    parts: tuple[SeedPart, ...]
    """What seeds add to its chance; none where all its runs agree."""
    seed: Term
    img: Term
    res: Term
    n_seeds: int
    """Fewest runs of an arm that enters."""
    most_seeds: int
    """Most runs of an arm that enters."""
    n_effective: float
    """Runs an arm that, equally many of each, would leave as much to seeds: sum c^2 / sum (c^2 / R_a)."""
    res_of_one: float
    """Variance from the seed x unit residual if each arm had one run."""
    notes: tuple[str, ...] = ()

    @property
    def img_alone(self) -> float:
        """The images' variance without the residual, which the seeds' variance has in it already; never below 0."""
        return max(0.0, self.img.variance - self.res.variance)

    @property
    def assumed(self) -> bool:
        """Whether some run-to-run noise in it is taken as known, for want of a second run."""
        return any(part.estimate == ASSUMED for part in self.parts)

    @property
    def seed_of_one(self) -> float:
        """Variance from seeds if each arm had one run."""
        return self.seed.variance * self.n_effective

    def total(self, estimand: Estimand) -> Term:
        """The contrast's variance for the population that the interval speaks for.

        `both`: the residual stands in the seeds' and in the images' variance and is taken out once. `seeds`: this
        test set is fixed, the seeds' variance in full. `images`: these checkpoints are fixed, so what they share
        and what is each one's own both vary with the images: the images' variance in full.
        """
        return _total(self.seed, self.img, self.res, estimand)

    def forecast(self, n_seeds: int, estimand: Estimand) -> Term:
        """`total` as it would be with `n_seeds` (two or more) runs of each arm and the same images."""
        known_by = self.seed.df / (self.n_effective - 1) if self.n_seeds > 1 else 1.0
        seed = Term(variance=self.seed_of_one / n_seeds, df=known_by * (n_seeds - 1))
        res = Term(variance=self.res_of_one / n_seeds, df=math.inf)
        img = Term(variance=self.img_alone + res.variance, df=self.img.df)
        return _total(seed, img, res, estimand)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Two ends, as fractions."""

    low: float
    high: float


def contrast(name: str, coefficients: Mapping[str, float], noise: SeedNoise, units: Units) -> Contrast:
    """The contrast sum_a c_a (mean score of arm a), paired by seed where all its arms have the same seeds."""
    runs = [noise.runs[arm] for arm in coefficients]
    weights, counts = list(coefficients.values()), [len(run.seeds) for run in runs]
    paired = is_paired(runs)
    samples = (
        [_combined(runs, weights)] if paired else [c * run.influence for c, run in zip(weights, runs, strict=True)]
    )
    residuals = [_residual_term(sample, units) for sample in samples]
    influence = np.sum([sample.mean(axis=0) for sample in samples], axis=0)
    parts = noise.parts(name, coefficients)
    return Contrast(
        name=name,
        coefficients=coefficients,
        delta=_delta(runs, weights, paired),
        parts=parts,
        seed=seed_term(parts),
        img=pooled(_image_terms(influence, units)),
        res=pooled(residuals),
        n_seeds=min(counts),
        most_seeds=max(counts),
        n_effective=effective_seeds(weights, counts),
        res_of_one=sum(len(sample) * term.variance for sample, term in zip(samples, residuals, strict=True)),
        notes=_notes(runs, influence, noise, parts, units),
    )


def effective_seeds(weights: Sequence[float], counts: Sequence[int]) -> float:
    """Runs an arm that would leave as much of the seeds' chance as unequal `counts` of runs do."""
    if len({*counts}) == 1:
        return float(counts[0])
    return sum(c * c for c in weights) / sum(c * c / n for c, n in zip(weights, counts, strict=True))


def _total(seed: Term, img: Term, res: Term, estimand: Estimand) -> Term:
    match estimand:
        case "seeds":
            return seed
        case "images":
            return img
        case "both":
            alone = Term(variance=max(0.0, img.variance - res.variance), df=img.df)
            return Term(variance=seed.variance + alone.variance, df=_guarded_df(seed, alone))


def _guarded_df(seed: Term, images: Term) -> float:
    """Satterthwaite's degrees of freedom of seeds + images, the seeds' variance at its median-unbiased value.

    A variance known from few seeds is more often small than large, and would then lend itself the images' many
    degrees of freedom: the interval is short twice over. df v / (median of chi^2) is as often small as large;
    docs/statistics.md has what that does to coverage and width.
    """
    if not math.isfinite(seed.df) or not seed.variance:
        return satterthwaite(seed.variance + images.variance, (seed, images)).df
    median = Term(variance=seed.variance * seed.df / _chi2_median(seed.df), df=seed.df)
    return satterthwaite(median.variance + images.variance, (median, images)).df


def satterthwaite(variance: float, terms: Sequence[Term]) -> Term:
    """`variance` with V^2 / sum_i (v_i^2 / df_i) degrees of freedom; infinite where no term is uncertain."""
    spread = sum(term.variance**2 / term.df for term in terms)
    return Term(variance=variance, df=variance**2 / spread if variance > 0 and spread > 0 else math.inf)


def pooled(terms: Sequence[Term]) -> Term:
    """The sum of independent variances."""
    return satterthwaite(math.fsum(term.variance for term in terms), terms)


def t_interval(delta: float, variance: Term, level: float = 0.95) -> Interval:
    """The delta, t standard errors either way."""
    half = t_quantile(variance.df, level) * math.sqrt(variance.variance)
    return Interval(low=delta - half, high=delta + half)


def t_quantile(df: float, level: float) -> float:
    """Half-width of the two-sided interval in standard errors; the normal's for infinite `df`.

    By the function behind `scipy.stats.t`, whose own checks take fifty times as long: a thousand undecided arms ask
    a quarter of a million times.
    """
    return float(stdtrit(df, (1 + level) / 2))


def _chi2_median(df: float) -> float:
    """The median of a chi square, by the function behind `scipy.stats.chi2`."""
    return float(2 * gammaincinv(df / 2, 0.5))


def _combined(runs: Sequence[Measured], weights: Sequence[float]) -> Floats:
    """Influence of each unit on the contrast of each seed, [R, G]."""
    total = weights[0] * runs[0].influence
    for weight, run in zip(weights[1:], runs[1:], strict=True):
        total += weight * run.influence
    return total


def seed_term(parts: Sequence[SeedPart]) -> Term:
    """The variance of all parts; those that rest on one estimate share its degrees of freedom."""
    by_estimate: dict[str, list[SeedPart]] = {}
    for part in parts:
        by_estimate.setdefault(part.estimate, []).append(part)
    return pooled(
        [
            Term(variance=math.fsum(part.scale**2 for part in group), df=group[0].df)
            for group in by_estimate.values()
        ]
    )


def _image_terms(influence: Floats, units: Units) -> list[Term]:
    """One term a stratum: G/(G-1) sum_g u_g^2."""
    variances = units.by_stratum(units.inflation * influence**2)
    return [Term(variance=float(v), df=n - 1) for v, n in zip(variances, units.sizes, strict=True)]


def _residual_term(influence: Floats, units: Units) -> Term:
    """Of each stratum G/(G-1) sum_{i, g} r_ig^2 / (R (R-1)), summed; nought where there is one run."""
    n = len(influence)
    if n == 1:
        return Term(variance=0.0, df=math.inf)
    squares = ((influence - influence.mean(axis=0)) ** 2).sum(axis=0) / (n * (n - 1))
    variances = units.by_stratum(units.inflation * squares)
    return pooled(
        [Term(variance=float(v), df=(n - 1) * (size - 1)) for v, size in zip(variances, units.sizes, strict=True)]
    )


def _delta(runs: Sequence[Measured], weights: Sequence[float], paired: bool) -> float:
    """Differences first where runs are paired, so that equal predictions give exactly zero."""
    if paired:
        return float(np.sum([c * run.scores for c, run in zip(weights, runs, strict=True)], axis=0).mean())
    return math.fsum(c * float(run.scores.mean()) for c, run in zip(weights, runs, strict=True))


def _notes(
    runs: Sequence[Measured], influence: Floats, noise: SeedNoise, parts: Sequence[SeedPart], units: Units
) -> tuple[str, ...]:
    notes = list(units.notes)
    if any(part.own for part in parts):
        notes.append("runs vary more here than in the other arms: the interval rests on these runs alone")
    single = [run.arm for run in runs if len(run.seeds) == 1]
    if single:
        assumed = f"a run-to-run standard deviation of {noise.run_sd:g} is assumed, not measured"
        of_whom = "each" if len(single) == len(runs) else f"of {' and of '.join(single)}"
        notes.append(f"one run {of_whom}: {assumed}")
    if any(run.seeds != runs[0].seeds for run in runs):
        paired = "images are paired, seeds" if len(influence) else "runs are paired"
        notes.append(f"the arms' seeds differ: {paired} as far as the arms share them")
    if len(influence) and not influence.any() and len({float(run.scores.mean()) for run in runs}) == 1:
        notes.append("no discordant images")
    return tuple(notes)
