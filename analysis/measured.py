"""What a study measured of chance, as planning takes it."""

import math
import statistics
from dataclasses import replace

from analysis.planning import ASSUMED, Variation
from analysis.records import Report
from analysis.words import count

LEAST_DF = 4
"""Fewer do not tell a standard deviation to within a factor of three, and an assumed one serves better."""


def variation_of(report: Report) -> Variation:
    """The variation of the report's scores and deltas; what too few runs leave open is as assumed."""
    return _with_images(_of_seeds(report), report)


def _of_seeds(report: Report) -> Variation:
    noise, origin = report.noise, f"measured on {count(sum(arm.n_seeds for arm in report.arms), 'run')}"
    if noise is None or noise.df < LEAST_DF or not noise.sd:
        return ASSUMED
    variation = Variation(run_sd=noise.sd, run_sd_from=origin)
    shared_df = noise.df * (1 - 1 / len(report.arms))  # what the seeds' own shifts leave
    if noise.seed_correlation is None or shared_df < LEAST_DF or not abs(noise.seed_correlation) < 1:
        return variation
    return replace(variation, seed_correlation=noise.seed_correlation, seed_correlation_from=origin)


def _with_images(variation: Variation, report: Report) -> Variation:
    """The images' variance, mean over arms, without the residual: the runs' variance has that in it.

    Single runs cannot tell the two apart.
    """
    repeated = {arm.arm for arm in report.arms if arm.n_seeds > 1}
    telling = [c for c in report.comparisons if {c.arm, c.baseline} <= repeated]
    if not telling:
        return variation
    return replace(
        variation,
        image_sd=math.sqrt(max(0.0, statistics.fmean(c.v_img - c.v_res for c in telling))),
        image_sd_from=f"measured on {count(report.n_images, 'image')}",
    )
