"""Each arm against the baseline on a metric: the record with its verdict."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.estimates import Design, Estimates, guarded, judged
from analysis.inference import Inference
from analysis.influence import Measured
from analysis.noise import Term, correlation, sd_interval
from analysis.records import Comparison, Estimand, GuardResult, Noise
from analysis.study import Arm, n_diverged
from analysis.summaries import mean_recalls
from analysis.variance import Contrast, t_interval
from analysis.words import count, higher_is_better


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delta:
    """One metric of one arm against the baseline."""

    estimates: Estimates
    contrast: Contrast
    inference: Inference

    @property
    def arm(self) -> Measured:
        """The arm's runs."""
        return self.estimates.runs[self.contrast.name]

    @property
    def baseline(self) -> Measured:
        """The baseline's runs."""
        return self.estimates.runs[self.estimates.design.baseline.name]

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the metric is better."""
        return higher_is_better(self.estimates.name)


def noise_of(estimates: Estimates) -> Noise | None:
    """Run-to-run noise over all arms; None with one run an arm."""
    noise, others = estimates.noise, estimates.design.others
    if noise.within is None:
        return None
    low, high = sd_interval(noise.within)
    unlike = tuple(arm.name for arm in others if any(part.own for part in estimates.seed_parts(arm.name)))
    return Noise(
        sd=math.sqrt(noise.within.variance),
        df=noise.within.df,
        ci_low=low,
        ci_high=high,
        alike_p=noise.alike,
        unlike=unlike,
        seed_correlation=noise.seed_correlation,
        paired=noise.pairs,
    )


def comparisons_of(design: Design, estimates: Mapping[str, Estimates]) -> tuple[Comparison, ...]:
    """Each other arm against the baseline, in the study's order, on the first metric; the others guard it."""
    primary, *guards = ([*_deltas(of_metric)] for of_metric in estimates.values())
    return tuple(
        _comparison(design, arm, primary[i], [_guard(design, of_guard[i]) for of_guard in guards])
        for i, arm in enumerate(design.others)
    )


def _deltas(estimates: Estimates) -> list[_Delta]:
    """The metric of each other arm against the baseline, inferred as one family."""
    contrasts = [estimates.delta(arm.name) for arm in estimates.design.others]
    return [
        _Delta(estimates=estimates, contrast=c, inference=inference)
        for c, inference in zip(contrasts, estimates.infer(contrasts), strict=True)
    ]


def _comparison(design: Design, arm: Arm, delta: _Delta, guards: list[GuardResult]) -> Comparison:
    c, inference, total = delta.contrast, delta.inference, delta.contrast.total(design.estimand)
    closed = t_interval(c.delta, total, design.level)
    diverged = n_diverged(design.study, arm.name)
    instability = _instability("its", len(arm.runs), diverged)
    judgement = judged(design, delta.estimates.name, c, inference, guards, instability)
    return Comparison(
        arm=c.name,
        baseline=design.baseline.name,
        metric=delta.estimates.name,
        seeds=tuple(sorted({*delta.arm.seeds, *delta.baseline.seeds})),
        delta=c.delta,
        se=math.sqrt(total.variance),
        df=total.df,
        v_seed=c.seed.variance,
        v_img=c.img.variance,
        v_res=c.res.variance,
        ci_low=inference.alone.low,
        ci_high=inference.alone.high,
        ci_low_closed=closed.low,
        ci_high_closed=closed.high,
        ci_low_simultaneous=inference.simultaneous.low,
        ci_high_simultaneous=inference.simultaneous.high,
        p_value=inference.p_value,
        p_adjusted=inference.p_adjusted,
        p_holm=inference.p_holm,
        seed_correlation=correlation(delta.arm, delta.baseline),
        probability_better=_probability_better(delta, design.estimand),
        misled_rate=_misled_rate(delta),
        verdict=judgement.verdict,
        label=judgement.label,
        reason=judgement.reason,
        seeds_needed=judgement.seeds_needed,
        seed_deltas=_seed_deltas(delta),
        guards=tuple(guards),
        class_deltas=_class_deltas(arm, design),
        notes=(*c.notes, *_doubts(c, total), *filter(None, (_baselines(design),))),
        diverged=diverged,
    )


def _instability(whose: str, finished: int, diverged: int) -> str:
    """What must be said where runs diverged: the others were not drawn by lot, and the delta is theirs alone."""
    if not diverged:
        return ""
    runs = count(finished + diverged, "run")
    return f"{diverged} of {whose} {runs} diverged, the delta is of those that did not"


def _baselines(design: Design) -> str:
    return _instability("the baseline's", len(design.baseline.runs), n_diverged(design.study, design.baseline.name))


def _seed_deltas(delta: _Delta) -> tuple[float, ...]:
    """Delta of each seed; none where the arms' seeds differ."""
    if delta.arm.seeds != delta.baseline.seeds:
        return ()
    return tuple(map(float, delta.arm.scores - delta.baseline.scores))


def _doubts(c: Contrast, total: Term) -> tuple[str, ...]:
    """A delta that never varied looks certain and is not: the test set is too small to show how it would."""
    if c.delta and total.variance == 0:
        return ("seeds and images show no variance at all: the interval has no width, read it as unknown",)
    return ()


def _guard(design: Design, delta: _Delta) -> GuardResult:
    return guarded(design, delta.estimates.name, delta.contrast.delta, delta.inference.alone)


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


def _class_deltas(arm: Arm, design: Design) -> Mapping[str, float]:
    if not design.study.classes:
        return {}
    moved = mean_recalls(arm) - mean_recalls(design.baseline)
    return {name: float(d) for name, d in zip(design.study.classes, moved, strict=True) if not np.isnan(d)}
