"""Which arms' variances to pool: rules compared on drawn scores, the table of docs/decisions/0006.

Run: python -m tests.reference.noise_rules

Scores of eight arms with five paired seeds are normal and no arm differs; one arm's may vary once, twice or three
times as much. Printed for each rule: how often any arm is found to differ, at 5% for all seven (Bonferroni), at
each of the three, and the mean half-width of the 95% interval of an arm where all vary alike, in standard
deviations of one run. The standard error of a share is .0015.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

N_ARMS, N_SEEDS, N_SETS = 8, 5, 20_000
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The variance of each delta of each set, [M, C], and the degrees of freedom that it is known by."""

    name: str
    variance: Floats
    df: Floats


def drawn(times: float) -> Floats:
    """Scores [M, R, A]; the second arm's standard deviation is `times` that of the others."""
    sds = np.ones(N_ARMS)
    sds[1] = times
    return np.random.default_rng(1).normal(size=(N_SETS, N_SEEDS, N_ARMS)) * sds


def rules(scores: Floats) -> Iterator[Rule]:
    """Every rule on these scores."""
    deltas = scores[:, :, 1:] - scores[:, :, :1]
    own, df_own = deltas.var(axis=1, ddof=1), float(N_SEEDS - 1)
    centred = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=2, keepdims=True)
    centred += scores.mean(axis=(1, 2), keepdims=True)
    df = float((N_ARMS - 1) * (N_SEEDS - 1))
    pool = np.broadcast_to(2 * (centred**2).sum(axis=(1, 2))[:, None] / df, own.shape)

    def chosen(
        name: str, rests_on_own: NDArray[np.bool_], others: Floats = pool, df_others: Floats | float = df
    ) -> Rule:
        return Rule(
            name=name, variance=np.where(rests_on_own, own, others), df=np.where(rests_on_own, df_own, df_others)
        )

    never = np.zeros(own.shape, dtype=bool)
    yield chosen("one pool, no check", never)
    yield chosen("all or none, by Bartlett's test", np.broadcast_to(_bartlett(own)[:, None] < 0.05, own.shape))
    yield _moderated(own, df)
    rest = (df * pool - df_own * own) / (df - df_own)
    noisier = stats.f.sf(own / rest, df_own, df - df_own) < 0.05
    n_quiet = np.maximum((~noisier).sum(axis=1, keepdims=True), 1)
    quiet = np.where(noisier, 0.0, own).sum(axis=1, keepdims=True) / n_quiet
    yield chosen("a noisy arm by itself, out of the others' pool", noisier, quiet, n_quiet * df_own)
    yield chosen("a noisy arm by itself, in the others' pool", noisier)
    yield chosen("each arm by itself", ~never)


def _bartlett(own: Floats) -> Floats:
    """p of each set."""
    n, df = own.shape[1], N_SEEDS - 1
    statistic = n * df * np.log(own.mean(axis=1)) - df * np.log(own).sum(axis=1)
    return np.asarray(stats.chi2.sf(statistic / (1 + (n / df - 1 / (n * df)) / (3 * (n - 1))), n - 1))


def _moderated(own: Floats, most: float) -> Rule:
    """Smyth (2004), Statistical Applications in Genetics and Molecular Biology 3(1), equations 3 and 4."""
    d = float(N_SEEDS - 1)
    logs = np.log(own) - special.digamma(d / 2) + np.log(d / 2)
    excess = np.maximum(logs.var(axis=1, ddof=1) - special.polygamma(1, d / 2), 1e-3)
    half = 0.5 + 1 / excess
    for _ in range(30):
        trigamma = special.polygamma(1, half)
        half += trigamma * (1 - trigamma / excess) / special.polygamma(2, half)
    prior = np.exp(logs.mean(axis=1) + special.digamma(half) - np.log(half))[:, None]
    variance = (2 * half[:, None] * prior + d * own) / (2 * half[:, None] + d)
    df = np.broadcast_to(np.minimum(2 * half[:, None] + d, most), own.shape)
    return Rule(name="moderated variances (Smyth 2004)", variance=variance, df=df)


def main() -> None:
    """Print the table, a row a rule."""
    rows: dict[str, list[str]] = {}
    for times in (1.0, 2.0, 3.0):
        scores = drawn(times)
        sizes = np.abs((scores[:, :, 1:] - scores[:, :, :1]).mean(axis=1))
        for rule in rules(scores):
            se = np.sqrt(rule.variance / N_SEEDS)
            found = sizes > stats.t.ppf(1 - 0.025 / (N_ARMS - 1), rule.df) * se
            half = (stats.t.ppf(0.975, rule.df) * se)[:, 1:].mean()
            row = rows.setdefault(rule.name, [f"{half:.2f}"])
            row.insert(-1, f"{found.any(axis=1).mean():.3f}")
    for name, figures in rows.items():
        sys.stdout.write(f"{name:48} {' '.join(figures)}\n")


if __name__ == "__main__":
    main()
