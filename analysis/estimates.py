"""What a study shows of its metrics: runs measured, noise pooled, and one set of replicates for every contrast."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.inference import Inference, infer
from analysis.influence import Measured, Units, measure
from analysis.looks import ALPHA, Look, look_pvalue
from analysis.metrics import Floats, Metric, class_sizes, metric_named
from analysis.noise import SeedNoise, SeedPart, seed_noise
from analysis.records import Estimand, GuardResult
from analysis.resampling import (
    Draws,
    deviations,
    exact_image_deviations,
    linear_image_deviations,
    widened,
)
from analysis.scores import ScoreTable
from analysis.study import Arm, Study
from analysis.variance import Contrast, Interval, contrast
from analysis.verdicts import Evidence, Judgement, judge
from analysis.words import higher_is_better


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What all contrasts of a report share."""

    study: Study
    units: Units
    estimand: Estimand
    run_sd: float
    """Run-to-run standard deviation assumed of an arm with one run."""
    draws: Draws
    look: Look | None
    """Which look at the sweep this is; None where there is only one."""
    baseline: Arm
    others: tuple[Arm, ...]

    @property
    def level(self) -> float:
        """Confidence of every family of intervals: what the look leaves, or 95%."""
        return 1 - (self.look.alpha if self.look and self.look.judges else ALPHA)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """All arms, the baseline first."""
        return (self.baseline, *self.others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """One metric of every arm, with all that an interval of any contrast of them needs."""

    name: str
    noise: SeedNoise
    design: Design
    of_images: Mapping[str, Floats]
    """What drawing images anew adds to each arm's mean score, [B] an arm."""

    @property
    def runs(self) -> Mapping[str, Measured]:
        """Each arm's scores and influence."""
        return self.noise.runs

    def contrast(self, name: str, coefficients: Mapping[str, float]) -> Contrast:
        """The weighted sum of arms' mean scores, taken apart."""
        return contrast(name, coefficients, self.noise, self.design.units)

    def delta(self, arm: str) -> Contrast:
        """The arm minus the baseline."""
        return self.contrast(arm, self._minus_baseline(arm))

    def seed_parts(self, arm: str) -> tuple[SeedPart, ...]:
        """What seeds add to the chance of the arm's delta."""
        return self.noise.parts(arm, self._minus_baseline(arm))

    def _minus_baseline(self, arm: str) -> dict[str, float]:
        return {arm: 1.0, self.design.baseline.name: -1.0}

    def infer(self, family: Sequence[Contrast]) -> list[Inference]:
        """Intervals and p-values of contrasts that are judged together."""
        return infer_family(family, self.of_images, self.design)


def estimate(design: Design, names: Sequence[str]) -> dict[str, Estimates]:
    """Each of these metrics, by name; one pass over the draws serves all that are linear.

    Raises MetricError for a metric that there is not.
    """
    metrics = {name: _study_metric(design.study, name) for name in names}
    noises = {name: _noise(design, metric) for name, metric in metrics.items()}
    linear = [(name, arm.name) for name in metrics if metrics[name].linear for arm in design.arms]
    moved = linearly(design, [noises[name].runs[arm] for name, arm in linear])
    by_arm = dict(zip(linear, moved, strict=True))
    return {
        name: Estimates(
            name=name,
            noise=noises[name],
            design=design,
            of_images={arm.name: by_arm[name, arm.name] for arm in design.arms}
            if metric.linear
            else _exactly(design, metric),
        )
        for name, metric in metrics.items()
    }


def estimate_means(design: Design, runs: Mapping[str, Sequence[Measured]]) -> dict[str, Estimates]:
    """The same of scores that are means over images (`measure_means`), an entry an arm, the baseline first."""
    moved = iter(linearly(design, [run for of_score in runs.values() for run in of_score]))
    return {
        name: Estimates(
            name=name,
            noise=seed_noise(of_score, run_sd=design.run_sd),
            design=design,
            of_images={run.arm: next(moved) for run in of_score},
        )
        for name, of_score in runs.items()
    }


def estimate_scores(design: Design, table: ScoreTable, names: Sequence[str]) -> dict[str, Estimates]:
    """The same of scores alone, of which no image is known: for the estimand `seeds`. Raises MetricError."""
    return {
        name: Estimates(
            name=name,
            noise=seed_noise([table.measured(arm.name, name) for arm in design.arms], run_sd=design.run_sd),
            design=design,
            of_images={},
        )
        for name in names
    }


def infer_family(family: Sequence[Contrast], of_images: Mapping[str, Floats], design: Design) -> list[Inference]:
    """Intervals and p-values of contrasts that are judged together.

    `of_images` is what drawing images anew adds to the mean score of each arm that enters one, [B] an arm.
    """
    moved = deviations(family, of_images, design.draws, estimand=design.estimand)
    spread = widened(moved, family, design.draws, estimand=design.estimand)
    found = infer([c.delta for c in family], spread, level=design.level)
    return [_at_look(inference, design.look) for inference in found]


def guarded(design: Design, metric: str, delta: float, alone: Interval) -> GuardResult:
    """Whether the guard metric's interval excludes a loss of the margin."""
    margin, better = design.study.question.margin, higher_is_better(metric)
    return GuardResult(
        metric=metric,
        delta=delta,
        ci_low=alone.low,
        ci_high=alone.high,
        margin=margin,
        non_inferior=alone.low > -margin if better else alone.high < margin,
    )


def judged(
    design: Design,
    metric: str,
    delta: Contrast,
    inference: Inference,
    guards: Sequence[GuardResult],
    instability: str = "",
) -> Judgement:
    """The verdict on a delta of the metric, by the interval that holds for its family."""
    return judge(
        Evidence(
            metric=metric,
            higher_is_better=higher_is_better(metric),
            delta=delta.delta,
            interval=inference.simultaneous,
            interval_90=inference.narrow,
            margin=design.study.question.margin,
            guards=guards,
            contrast=delta,
            estimand=design.estimand,
            level=design.level,
            widening=inference.widening,
            instability=instability,
        )
    )


def _study_metric(study: Study, name: str) -> Metric:
    """The metric of that name on the study's test set. Raises MetricError."""
    return metric_named(name, classes=study.classes, sizes=class_sizes(study.arms[0].runs[0].outcome))


def _at_look(found: Inference, look: Look | None) -> Inference:
    """The inference with its p-values on the scale of all looks."""
    if look is None:
        return found
    return replace(
        found,
        p_value=look_pvalue(found.p_value, look),
        p_adjusted=look_pvalue(found.p_adjusted, look),
        p_holm=look_pvalue(found.p_holm, look),
    )


def _noise(design: Design, metric: Metric) -> SeedNoise:
    runs = [
        measure(metric, arm.name, [(run.seed, run.outcome) for run in arm.runs], design.units)
        for arm in design.arms
    ]
    return seed_noise(runs, run_sd=design.run_sd)


def linearly(design: Design, runs: Sequence[Measured]) -> Sequence[Floats]:
    """What drawing images anew adds to the mean score of each arm, [B] an arm."""
    if not runs:
        return ()
    influence = np.stack([run.influence.mean(axis=0) for run in runs])
    return list(linear_image_deviations(influence, design.units, design.draws))


def _exactly(design: Design, metric: Metric) -> dict[str, Floats]:
    outcomes = {arm.name: [run.outcome for run in arm.runs] for arm in design.arms}
    return exact_image_deviations(metric, outcomes, design.units, design.draws)
