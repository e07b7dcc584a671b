"""Planning: what a design can see before anything is run."""

import math

from scipy.special import nctdtrinc, stdtrit


def smallest_detectable_delta(
    n_seeds: int,
    run_sd: float,
    *,
    v_img: float = 0.0,
    seed_correlation: float = 0.0,
    n_comparisons: int = 1,
    power: float = 0.8,
    level: float = 0.95,
) -> float:
    """The true delta, as a fraction, that a paired t test over seeds finds with probability `power`; two-sided.

    Args:
        n_seeds: runs of each arm; infinity is returned for fewer than two, which measure no noise.
        run_sd: run-to-run standard deviation of one arm's score, as a fraction.
        v_img: variance of the delta from images beyond the seeds' own; it adds and costs no degrees of freedom.
        seed_correlation: correlation of the arms' scores over seeds, which pairing gains from.
        n_comparisons: arms compared with the baseline, at the Bonferroni level.
        power: probability of finding it.
        level: of all intervals together.
    """
    if n_seeds < 2:
        return math.inf
    df = n_seeds - 1
    se = math.sqrt(2 * run_sd**2 * (1 - seed_correlation) / n_seeds + v_img)
    critical = float(stdtrit(df, 1 - (1 - level) / (2 * n_comparisons)))
    # The far tail, significant in the wrong direction, adds less than 1e-6 at any useful power.
    return se * float(nctdtrinc(df, 1 - power, critical))
