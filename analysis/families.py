"""Deltas of many metrics judged together: one pass over the draws, one interval for the whole family.

What seeds do to one metric is drawn apart from what they do to another, and so is how well each variance is known.
That is the cautious side: of normal deltas, blocks that are independent exceed a limit at least as often as blocks
that are not (Royen 2014, the Gaussian correlation inequality). Images are drawn once for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from analysis.estimates import Design, infer_family
from analysis.findings.held import Held
from analysis.influence import measure
from analysis.metrics import Floats, Metric
from analysis.noise import SeedNoise, seed_noise
from analysis.resampling import linear_image_deviations
from analysis.study import Arm
from analysis.variance import Contrast, Interval, contrast, t_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """One metric of one arm against the baseline."""

    arm: str
    contrast: Contrast
    """Its variance taken apart; what it rests on bears the metric's name."""
    influence: Floats
    """Of each unit, mean over seeds, [G]."""


def noise_on(design: Design, metric: Metric, *, n_classes: float = 1) -> SeedNoise:
    """Every arm's runs on the metric, with their noise pooled over arms.

    Where an arm has one run, a noise is assumed that makes the design's of a mean over all classes, of which the
    metric is the mean over `n_classes`: if classes vary independently, sqrt(K / n_classes) times as much.
    """
    runs = [
        measure(metric, arm.name, [(run.seed, run.outcome) for run in arm.runs], design.units)
        for arm in design.arms
    ]
    n_all = float((design.units.class_sizes > 0).sum())
    return seed_noise(runs, run_sd=design.run_sd * (n_all / n_classes) ** 0.5)


def deltas_on(
    design: Design, name: str, metric: Metric, *, n_classes: float = 1, arms: Sequence[Arm] | None = None
) -> list[Delta]:
    """The metric of these arms against the baseline, in their order; `name` tells it from others.

    Without `arms` of all that are compared, in the report's order.
    """
    noise, baseline = noise_on(design, metric, n_classes=n_classes), design.baseline.name
    before = noise.runs[baseline].influence.mean(axis=0)
    return [
        Delta(
            arm=arm.name,
            contrast=_apart(name, contrast(arm.name, {arm.name: 1.0, baseline: -1.0}, noise, design.units)),
            influence=noise.runs[arm.name].influence.mean(axis=0) - before,
        )
        for arm in (design.others if arms is None else arms)
    ]


def held(design: Design, families: Sequence[Sequence[Sequence[Delta]]]) -> list[list[tuple[Held, ...]]]:
    """Every delta with its intervals, each family's simultaneous: a family is of metrics, a metric of arms.

    The metrics are taken as linear in the images.
    """
    flat = [[delta for of_metric in family for delta in of_metric] for family in families]
    rows = np.stack([delta.influence for family in flat for delta in family])
    moved = linear_image_deviations(rows, design.units, design.draws)
    ends = np.cumsum([0, *map(len, flat)]).tolist()
    judged = (
        _held(design, family, moved[start:stop]) for family, (start, stop) in zip(flat, pairwise(ends), strict=True)
    )
    n_arms = len(design.others)
    return [[tuple(family[i : i + n_arms]) for i in range(0, len(family), n_arms)] for family in judged]


def chosen(design: Design, delta: Delta, *, out_of: int) -> Held:
    """A delta that was chosen for what it shows out of many: held for them all in closed form (Bonferroni)."""
    c, alpha = delta.contrast, 1 - design.level
    alone, together = (t_interval(c.delta, c.total(design.estimand), 1 - a) for a in (alpha, alpha / out_of))
    return held_by(delta.arm, c.delta, alone, together)


def held_by(arm: str, delta: float, alone: Interval, together: Interval) -> Held:
    """The record of an arm's delta with its own interval and the one that holds for its family."""
    return Held(
        arm=arm,
        delta=delta,
        ci_low=alone.low,
        ci_high=alone.high,
        ci_low_simultaneous=together.low,
        ci_high_simultaneous=together.high,
    )


def _held(design: Design, family: Sequence[Delta], of_images: Floats) -> list[Held]:
    if not family:
        return []
    contrasts = [delta.contrast for delta in family]
    by_name = {c.name: row for c, row in zip(contrasts, of_images, strict=True)}
    found = infer_family(contrasts, by_name, design)
    return [
        held_by(delta.arm, delta.contrast.delta, of_delta.alone, of_delta.simultaneous)
        for delta, of_delta in zip(family, found, strict=True)
    ]


def _apart(metric: str, of_arm: Contrast) -> Contrast:
    """The contrast with all that its chance rests on named after the metric, so that it is drawn by itself."""
    name = f"{metric} of {of_arm.name}"
    parts = tuple(
        replace(part, key=f"{metric}, {part.key}", estimate=f"{metric}, {part.estimate}") for part in of_arm.parts
    )
    return replace(of_arm, name=name, coefficients={name: 1.0}, parts=parts)
