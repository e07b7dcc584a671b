"""Arms against a baseline: from a study to the report's record."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from analysis.influence import Measured, Units, measure, units_of
from analysis.metrics import Floats, Metric, class_sizes, metric_named
from analysis.multiplicity import holm, simultaneous_level
from analysis.records import Comparison, Estimand, GuardResult, Report
from analysis.resampling import Draws, Reevaluated, percentile_interval, pvalue, replicate, stretched
from analysis.study import Arm, SourceError, Study
from analysis.summaries import mean_recalls, pooled_sd, summarise
from analysis.variance import Contrast, Term, contrast, t_interval
from analysis.verdicts import Evidence, judge

DEFAULT_RUN_SD = 0.006
"""Run-to-run standard deviation assumed of an arm with one run, as a fraction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Design:
    """What all comparisons of a report share."""

    study: Study
    units: Units
    estimand: Estimand
    run_sd: float
    draws: Draws
    baseline: Arm
    others: tuple[Arm, ...]

    @property
    def level(self) -> float:
        """Level of each simultaneous interval."""
        return simultaneous_level(len(self.others))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delta:
    """One metric of one arm against the baseline."""

    arm: Measured
    baseline: Measured
    contrast: Contrast
    stretched: Floats
    """Replicates of the delta, ascending, widened to the t distribution, [B]."""
    higher_is_better: bool


def compare(
    study: Study,
    *,
    metric: str | None = None,
    margin: float | None = None,
    estimand: Estimand = "both",
    baseline: str | None = None,
    n_resamples: int = 10_000,
    seed: int = 0,
    run_sd: float = DEFAULT_RUN_SD,
) -> Report:
    """Every arm against the baseline on one metric, with a verdict each; the same input gives the same report.

    Args:
        study: arms tested on the same images.
        metric: name of the metric; None takes the study's.
        margin: smallest difference that matters, as a fraction; None takes the study's.
        estimand: the population that the intervals speak for.
        baseline: name of the baseline arm; None takes the study's.
        n_resamples: replicates of the bootstrap.
        seed: seed of its draws.
        run_sd: run-to-run standard deviation to assume of an arm with one run, as a fraction.

    Raises MetricError for a metric that there is not, SourceError for a baseline that there is not.
    """
    asked = study.question
    question = replace(
        asked,
        primary_metric=asked.primary_metric if metric is None else metric,
        margin=asked.margin if margin is None else margin,
        baseline=asked.baseline if baseline is None else baseline,
    )
    study = replace(study, question=question)
    draws = Draws(n_resamples=n_resamples, seed=seed)
    design = _design(study, estimand=estimand, run_sd=run_sd, draws=draws)
    measured = _metric(study, study.question.primary_metric)
    arms = tuple(summarise(arm, measured, study.classes) for arm in (design.baseline, *design.others))
    return Report(
        name=question.name,
        question=question.sentence,
        metric=study.question.primary_metric,
        margin=study.question.margin,
        estimand=estimand,
        baseline=study.question.baseline,
        n_images=len(study.label),
        n_groups=len(np.unique(study.group_id)),
        class_names=study.classes,
        run_sd=run_sd,
        n_resamples=n_resamples,
        arms=arms,
        comparisons=_comparisons(design),
        noise_sd=pooled_sd(arms),
        problems=study.problems,
        provenance=study.provenance,
    )


def _design(study: Study, *, estimand: Estimand, run_sd: float, draws: Draws) -> _Design:
    for name, value in (("margin", study.question.margin), ("run_sd", run_sd)):
        _require(math.isfinite(value), name, "be finite", value)
    _require(study.question.margin >= 0, "margin", "be >= 0", study.question.margin)
    _require(run_sd > 0, "run_sd", "be > 0", run_sd)
    _require(draws.seed >= 0, "seed", "be >= 0", draws.seed)
    _require(draws.n_resamples >= 100, "resamples", "be at least 100", draws.n_resamples)
    _require(draws.n_resamples <= 1_000_000, "resamples", "be at most 1,000,000", draws.n_resamples)
    n_groups = len(np.unique(study.group_id))
    _require(n_groups > 1, "the test set", "have at least two groups of images to draw from", n_groups)
    names = [arm.name for arm in study.arms]
    _require(
        study.question.baseline in names,
        "baseline",
        f"be one of the arms {', '.join(names)}",
        study.question.baseline,
    )
    return _Design(
        study=study,
        units=units_of(study.label, study.group_id, len(study.classes)),
        estimand=estimand,
        run_sd=run_sd,
        draws=draws,
        baseline=study.arms[names.index(study.question.baseline)],
        others=tuple(arm for arm in study.arms if arm.name != study.question.baseline),
    )


def _comparisons(design: _Design) -> tuple[Comparison, ...]:
    """Each other arm against the baseline, in the study's order."""
    if not design.others:
        return ()
    study = design.study
    deltas = _deltas(design, study.question.primary_metric)
    guards = {
        name: _deltas(design, name)
        for name in study.question.guard_metrics
        if name != study.question.primary_metric
    }
    adjusted = holm([pvalue(delta.stretched) for delta in deltas])
    return tuple(
        _comparison(design, arm, delta, p, [_guard(design, name, of_arms[i]) for name, of_arms in guards.items()])
        for i, (arm, delta, p) in enumerate(zip(design.others, deltas, adjusted, strict=True))
    )


def _deltas(design: _Design, name: str) -> list[_Delta]:
    """The metric of each other arm against the baseline, all on the same draws."""
    metric, units = _metric(design.study, name), design.units
    outcomes = {arm.name: [run.outcome for run in arm.runs] for arm in (design.baseline, *design.others)}
    measured = {
        arm.name: measure(metric, arm.name, [(run.seed, run.outcome) for run in arm.runs], units)
        for arm in (design.baseline, *design.others)
    }
    baseline = measured[design.baseline.name]
    contrasts = [contrast(measured[arm.name], baseline, units, run_sd=design.run_sd) for arm in design.others]
    exactly = None if metric.linear else Reevaluated(metric=metric, outcomes=outcomes)
    replicates = replicate(contrasts, units, design.draws, estimand=design.estimand, exactly=exactly)
    return [
        _Delta(
            arm=measured[c.arm],
            baseline=baseline,
            contrast=c,
            stretched=stretched(column, c.delta, c.total(design.estimand).df),
            higher_is_better=metric.higher_is_better,
        )
        for c, column in zip(contrasts, replicates.T, strict=True)
    ]


def _comparison(
    design: _Design, arm: Arm, delta: _Delta, p_adjusted: float, guards: list[GuardResult]
) -> Comparison:
    c, total = delta.contrast, delta.contrast.total(design.estimand)
    alone = percentile_interval(delta.stretched, 0.95)
    together = percentile_interval(delta.stretched, design.level)
    closed = t_interval(c.delta, total)
    judgement = judge(
        Evidence(
            metric=design.study.question.primary_metric,
            higher_is_better=delta.higher_is_better,
            delta=c.delta,
            interval=together,
            interval_90=percentile_interval(delta.stretched, 0.90),
            margin=design.study.question.margin,
            guards=guards,
            contrast=c,
            estimand=design.estimand,
            level=design.level,
            n_seeds=min(len(delta.arm.seeds), len(delta.baseline.seeds)),
        )
    )
    paired = delta.arm.seeds == delta.baseline.seeds
    return Comparison(
        arm=c.arm,
        baseline=c.baseline,
        metric=design.study.question.primary_metric,
        seeds=tuple(sorted({*delta.arm.seeds, *delta.baseline.seeds})),
        delta=c.delta,
        se=math.sqrt(total.variance),
        df=total.df,
        v_seed=c.seed.variance,
        v_img=c.img.variance,
        v_res=c.res.variance,
        ci_low=alone.low,
        ci_high=alone.high,
        ci_low_closed=closed.low,
        ci_high_closed=closed.high,
        ci_low_simultaneous=together.low,
        ci_high_simultaneous=together.high,
        p_value=pvalue(delta.stretched),
        p_adjusted=p_adjusted,
        probability_better=_probability_better(delta, design.estimand),
        misled_rate=_misled_rate(delta),
        verdict=judgement.verdict,
        label=judgement.label,
        reason=judgement.reason,
        seeds_needed=judgement.seeds_needed,
        seed_deltas=tuple(map(float, delta.arm.scores - delta.baseline.scores)) if paired else (),
        guards=tuple(guards),
        class_deltas=_class_deltas(arm, design),
        notes=(*c.notes, *_doubts(c, total)),
    )


def _doubts(c: Contrast, total: Term) -> tuple[str, ...]:
    """A delta that never varied looks certain and is not: the test set is too small to show how it would."""
    if c.delta and total.variance == 0:
        return ("seeds and images show no variance at all: the interval has no width, read it as unknown",)
    return ()


def _guard(design: _Design, name: str, delta: _Delta) -> GuardResult:
    """Whether the guard metric's 95% interval excludes a loss of the margin."""
    interval, margin = percentile_interval(delta.stretched, 0.95), design.study.question.margin
    return GuardResult(
        metric=name,
        delta=delta.contrast.delta,
        ci_low=interval.low,
        ci_high=interval.high,
        margin=margin,
        non_inferior=interval.low > -margin if delta.higher_is_better else interval.high < margin,
    )


def _probability_better(delta: _Delta, estimand: Estimand) -> float:
    """P(arm > baseline) for a new seed of each, t-distributed around the delta; one half where nothing differs.

    For `images` the checkpoints are these, and only the delta's own uncertainty remains.
    """
    c, total = delta.contrast, delta.contrast.total(estimand)
    spread = math.sqrt(total.variance + (0 if estimand == "images" else c.seed_of_one))
    gain = c.delta if delta.higher_is_better else -c.delta
    if spread == 0:
        return 0.5 + 0.5 * float(np.sign(gain))
    return float(stats.t.cdf(gain / spread, total.df))


def _misled_rate(delta: _Delta) -> float | None:
    """Share of single-run comparisons whose sign is not the delta's: by seed where paired, else of all pairs."""
    if max(len(delta.arm.seeds), len(delta.baseline.seeds)) == 1:
        return None
    paired = delta.arm.seeds == delta.baseline.seeds
    baseline = delta.baseline.scores if paired else delta.baseline.scores[:, None]
    return float(((delta.arm.scores - baseline) * delta.contrast.delta < 0).mean())


def _class_deltas(arm: Arm, design: _Design) -> Mapping[str, float]:
    moved = mean_recalls(arm) - mean_recalls(design.baseline)
    return {name: float(d) for name, d in zip(design.study.classes, moved, strict=True) if not np.isnan(d)}


def _metric(study: Study, name: str) -> Metric:
    return metric_named(name, classes=study.classes, sizes=class_sizes(study.arms[0].runs[0].outcome))


def _require(holds: bool, name: str, must: str, got: object) -> None:
    if not holds:
        raise SourceError(f"{name} must {must}, got {got!r}")
