"""How often the 95% interval holds the truth, over test sets and seeds drawn from a known one."""

import numpy as np
import pytest

from analysis.influence import Measured, units_of
from analysis.resampling import Draws, percentile_interval, replicate, stretched
from analysis.variance import contrast, t_interval

# Standard deviations of seeds (a class shifts as a whole), images and residual, in units of a delta.
SCENARIOS = {
    "seeds": (1.0, 1.0, 1.0),
    "images": (0.02, 3.0, 1.0),
    "mixed": (0.2, 2.0, 1.0),
    "residual": (0.0, 0.2, 2.0),
}
N_RESAMPLES = 999


def class_sizes(rarest):
    return np.geomspace(260, rarest, 6).astype(int)


def drawn(rng, units, *, n_seeds, sds):
    """Runs of an arm whose true delta is nought, as scores [R] and influence [R, N]."""
    of_seeds, of_images, of_both = sds
    sizes, label = units.class_sizes, units.label
    x = rng.normal(0, of_images, len(label)) + rng.normal(0, of_both, (n_seeds, len(label)))
    x += rng.normal(0, of_seeds, (n_seeds, len(sizes)))[:, label]
    means = np.stack([np.bincount(label, row) / sizes for row in x])
    influence = (x - means[:, label]) / (sizes * len(sizes))[label]
    seeds = tuple(range(n_seeds))
    return Measured(arm="arm", seeds=seeds, scores=means.mean(axis=1), influence=influence)


def coverage(scenario, *, n_seeds, rarest, n_sets, rng_seed=0):
    """Shares of sets whose closed and bootstrapped interval holds nought."""
    rng = np.random.default_rng([rng_seed, n_seeds, rarest])
    label = np.repeat(np.arange(6), class_sizes(rarest))
    units = units_of(label, np.char.zfill(np.arange(len(label)).astype(str), 5), 6)
    held = np.zeros(2)
    for number in range(n_sets):
        arm = drawn(rng, units, n_seeds=n_seeds, sds=SCENARIOS[scenario])
        baseline = Measured(arm="baseline", seeds=arm.seeds, scores=0 * arm.scores, influence=0 * arm.influence)
        c = contrast(arm, baseline, units, run_sd=0.006)
        total = c.total("both")
        replicates = replicate([c], units, Draws(n_resamples=N_RESAMPLES, seed=number), estimand="both")[:, 0]
        intervals = (
            t_interval(c.delta, total),
            percentile_interval(stretched(replicates, c.delta, total.df), 0.95),
        )
        held += [interval.low <= 0 <= interval.high for interval in intervals]
    return held / n_sets


@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(n_seeds):
    closed, bootstrapped = coverage("mixed", n_seeds=n_seeds, rarest=10, n_sets=150)
    # 150 sets: .95 +- .018 standard errors of one share
    assert 0.89 <= closed <= 1
    assert 0.89 <= bootstrapped <= 1


@pytest.mark.slow
@pytest.mark.parametrize("rarest", [10, 50])
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_the_interval_holds_the_truth_in_95_of_100_sets(n_seeds, scenario, rarest):
    closed, bootstrapped = coverage(scenario, n_seeds=n_seeds, rarest=rarest, n_sets=2000)
    # The aim is .935 to .970, the standard error .005. Three seeds that dominate fall short: docs/statistics.md.
    least = 0.91 if (scenario, n_seeds) == ("seeds", 3) else 0.93
    assert least <= closed <= 0.975
    assert least <= bootstrapped <= 0.975
