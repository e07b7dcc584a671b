"""Three tiers of every arm: thresholds chosen on each run's val, frozen, and what came of them on test."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from analysis.abstain import LEVEL, aurc, aurc_values, errors_at, lowest_threshold, risk_values
from analysis.estimates import Design, Estimates, estimate_means
from analysis.families import held_by
from analysis.findings.abstain import Abstain, ArmTiers, ClassTiers, Frozen, OverSeeds, RiskCurve, Tier
from analysis.findings.held import Held
from analysis.influence import Measured, measure_means
from analysis.metrics import Floats, Outcome
from analysis.study import Run

Mask = NDArray[np.bool_]

COVERAGE = np.arange(1, 101) / 100
"""Shares of the images at which a curve is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """The risks that the thresholds must keep, each in (0, 1)."""

    answer: float = 0.1
    """Error rate of what is answered."""
    top3: float = 0.1
    """Share of the images with three classes shown whose own is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Val:
    """What a run's thresholds are chosen on."""

    outcome: Outcome
    group: NDArray[np.int64]
    """Number of the lesion, patient or case of each image, [N]."""

    def threshold(self, wrong: Mask, risk: float, *, below: float | None = None) -> float | None:
        """The lowest confidence that keeps the risk among the images below `below`."""
        ceiling = np.inf if below is None else below
        return lowest_threshold(self.outcome.confidence, wrong, self.group, risk=risk, below=ceiling)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sorted:
    """A run's test images in their tiers."""

    val: _Val
    outcome: Outcome
    """What it did with each test image."""
    frozen: Frozen
    answered: Mask
    """[N]."""
    shown: Mask
    """Three classes are shown, [N]."""


def tiers_of(design: Design, stated: Stated) -> Abstain | None:
    """All arms with the thresholds that each run's val gives it; None where a run has no val."""
    of_arms = [[_sorted(run, stated) for run in arm.runs] for arm in design.arms]
    by_arm = {arm.name: [*filter(None, runs)] for arm, runs in zip(design.arms, of_arms, strict=True)}
    if any(None in runs for runs in of_arms):
        return None
    val = by_arm[design.baseline.name][0].val
    tiers = Abstain(
        answer_risk=stated.answer,
        top3_risk=stated.top3,
        level=LEVEL,
        n_val_images=len(val.outcome.label),
        n_val_groups=len(np.unique(val.group)),
        arms=tuple(_arm(arm, runs, design.study.classes, stated) for arm, runs in by_arm.items()),
    )
    return _compared(tiers, by_arm, design)


def _sorted(run: Run, stated: Stated) -> _Sorted | None:
    """The run's thresholds, and its test images in the tiers that they make; None where it has no val."""
    val = _val_of(run)
    if val is None:
        return None
    answer = val.threshold(~val.outcome.right, stated.answer)
    top3 = val.threshold(_missed(val.outcome), stated.top3, below=answer)
    outcome = run.outcome
    answered = outcome.confidence >= (np.inf if answer is None else answer)
    shown = ~answered & (outcome.confidence >= (np.inf if top3 is None else top3))
    frozen = Frozen(
        seed=run.seed,
        answer=answer,
        top3=top3,
        answered=float(answered.mean()),
        error=_share(~outcome.right, answered),
    )
    return _Sorted(val=val, outcome=outcome, frozen=frozen, answered=answered, shown=shown)


def _val_of(run: Run) -> _Val | None:
    """Its val, each image a group of its own where nothing else is known."""
    if run.posthoc is None or run.posthoc.val is None:
        return None
    known, outcome = run.posthoc.val_groups, run.posthoc.val
    alone = np.arange(len(outcome.label))
    return _Val(outcome=outcome, group=alone if known is None else np.unique(known, return_inverse=True)[1])


def _missed(outcome: Outcome) -> Mask:
    """Whether the true class is not among the three most probable, [N]."""
    return np.greater_equal(outcome.rank, 3)


def _arm(arm: str, runs: Sequence[_Sorted], classes: Sequence[str], stated: Stated) -> ArmTiers:
    errors = [errors_at(COVERAGE, run.outcome.confidence, ~run.outcome.right) for run in runs]
    return ArmTiers(
        arm=arm,
        runs=tuple(run.frozen for run in runs),
        answer=_tier([run.answered for run in runs], [~run.outcome.right for run in runs], stated.answer),
        top3=_tier([run.shown for run in runs], [_missed(run.outcome) for run in runs], stated.top3),
        aurc=_over_seeds([aurc(run.outcome.confidence, ~run.outcome.right) for run in runs]),
        curve=RiskCurve(
            coverage=tuple(COVERAGE.tolist()),
            error=tuple(np.mean(errors, axis=0).tolist()),
            sd=tuple((np.std(errors, axis=0, ddof=1) if len(runs) > 1 else np.zeros(len(COVERAGE))).tolist()),
        ),
        val_accuracy=fmean(float(run.val.outcome.right.mean()) for run in runs),
        test_accuracy=fmean(float(run.outcome.right.mean()) for run in runs),
        classes=tuple(
            _class(name, runs, of_class)
            for k, name in enumerate(classes)
            if (of_class := runs[0].outcome.label == k).any()
        ),
    )


def _tier(within: Sequence[Mask], wrong: Sequence[Mask], stated: float) -> Tier:
    """One tier on test from a mask a run of what is in it and of what is wrong."""
    risks = [float(w[inside].mean()) for w, inside in zip(wrong, within, strict=True) if inside.any()]
    return Tier(
        share=_over_seeds([float(inside.mean()) for inside in within]),
        risk=_over_seeds(risks) if risks else None,
        n_runs=len(risks),
        n_within=sum(risk <= stated for risk in risks),
    )


def _class(name: str, runs: Sequence[_Sorted], of_class: Mask) -> ClassTiers:
    return ClassTiers(
        name=name,
        n_images=int(of_class.sum()),
        answered=float(np.mean([run.answered[of_class].mean() for run in runs])),
        error=_mean(_share(~run.outcome.right, run.answered & of_class) for run in runs),
        shown=float(np.mean([run.shown[of_class].mean() for run in runs])),
        miss=_mean(_share(_missed(run.outcome), run.shown & of_class) for run in runs),
    )


def _compared(tiers: Abstain, by_arm: Mapping[str, Sequence[_Sorted]], design: Design) -> Abstain:
    """The same with what other arms do to the share answered, to its error and to the AURC.

    Thresholds vary from run to run, so an arm needs two; for an error each of them must answer something.
    """
    if design.look and not design.look.judges:
        return tiers
    repeated = {arm: runs for arm, runs in by_arm.items() if len(runs) > 1}
    answering = {arm: runs for arm, runs in repeated.items() if all(run.answered.any() for run in runs)}
    scores = {
        "answered": _measured(repeated, lambda run: run.answered.astype(np.float64), design),
        "error": _measured(answering, lambda run: risk_values(run.answered, ~run.outcome.right), design),
        "aurc": _measured(repeated, lambda run: aurc_values(run.outcome.confidence, ~run.outcome.right), design),
    }
    made = estimate_means(design, {name: runs for name, runs in scores.items() if runs})
    held = {name: _held(estimates) for name, estimates in made.items()}
    return replace(tiers, answered=held.get("answered", ()), error=held.get("error", ()), aurc=held.get("aurc", ()))


def _measured(
    by_arm: Mapping[str, Sequence[_Sorted]], values: Callable[[_Sorted], Floats], design: Design
) -> list[Measured]:
    """A mean over images of these arms, the baseline first; of none where the baseline is missing."""
    if design.baseline.name not in by_arm:
        return []
    return [
        measure_means(arm, {run.frozen.seed: values(run) for run in runs}, design.units)
        for arm, runs in by_arm.items()
    ]


def _held(estimates: Estimates) -> tuple[Held, ...]:
    """Every other arm that was measured against the baseline, as one family."""
    contrasts = [estimates.delta(arm) for arm in estimates.runs if arm != estimates.design.baseline.name]
    return tuple(
        held_by(c.name, c.delta, found.alone, found.simultaneous)
        for c, found in zip(contrasts, estimates.infer(contrasts), strict=True)
    )


def _share(wrong: Mask, within: Mask) -> float | None:
    """Share of wrong images among those within; None where there are none."""
    return float(wrong[within].mean()) if within.any() else None


def _mean(shares: Iterable[float | None]) -> float | None:
    """Mean of the shares that there are; None where there is none."""
    known = [share for share in shares if share is not None]
    return fmean(known) if known else None


def _over_seeds(values: Sequence[float]) -> OverSeeds:
    return OverSeeds(mean=fmean(values), sd=stdev(values) if len(values) > 1 else None)
