"""From an interval to a verdict, in words made of the same numbers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from analysis.records import Estimand, GuardResult, Verdict
from analysis.variance import Contrast, Interval, t_quantile
from analysis.words import higher_is_better, interval_title, metric_title, unit_of

MOST_SEEDS = 200
"""Beyond this many seeds an arm nobody waits for a decision."""
Decides = Callable[[float], bool]
"""Whether an interval that reaches so far to either side leaves nothing open."""
_LIMITED_BY_RARE_CLASSES = ("balanced_accuracy", "macro_f1")
"""Metrics to which a class of ten images contributes as much as one of a thousand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a verdict rests on."""

    metric: str
    higher_is_better: bool
    delta: float
    interval: Interval
    """The interval that holds for all arms at once."""
    interval_90: Interval
    """The interval of this arm alone at twice the error, 90% of 95%: two one-sided tests (Schuirmann 1987)."""
    margin: float
    guards: Sequence[GuardResult]
    contrast: Contrast
    estimand: Estimand
    level: float
    """Level of the intervals."""
    widening: float
    """How much wider `interval` is than this arm's own."""
    instability: str = ""
    """What must be said of the arm's runs that diverged; empty where none did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict with its reason."""

    verdict: Verdict
    label: str
    reason: str
    seeds_needed: int | None


def judge(evidence: Evidence) -> Judgement:
    """Keep what is better than the baseline, reject what cannot reach the margin, else say what would decide."""
    gain = _gain(evidence, evidence.interval)
    if gain.low > 0:
        return _keep(evidence, gain)
    if gain.high < evidence.margin:
        return _reject(evidence, gain)
    return _inconclusive(evidence)


def seeds_to_decide(evidence: Evidence, decides: Decides) -> int | None:
    """Seeds an arm, in all, at which the delta as it stands would be decided; None if `MOST_SEEDS` are too few.

    None also for `images`: its checkpoints are fixed.
    """
    if evidence.estimand == "images":
        return None
    for n_seeds in range(max(2, evidence.contrast.most_seeds + 1), MOST_SEEDS + 1):
        total = evidence.contrast.forecast(n_seeds, evidence.estimand)
        if decides(_half_width(evidence, total.df, total.variance)):
            return n_seeds
    return None


def why_no_seeds(evidence: Evidence, decides: Decides) -> str:
    """Why no number of seeds that anyone waits for would decide it."""
    if evidence.estimand == "images":
        return "more seeds cannot decide it: these checkpoints are fixed, only more images would"
    limit = _half_width(evidence, evidence.contrast.img.df, evidence.contrast.img_alone)
    reachable = evidence.estimand == "seeds" or decides(limit)
    if reachable:
        return f"more than {MOST_SEEDS} seeds an arm would be needed to decide it"
    what = (
        "the test set's rare classes limit" if evidence.metric in _LIMITED_BY_RARE_CLASSES else "the images limit"
    )
    return f"more seeds cannot decide it: {what} the interval"


def noise_doubts(evidence: Evidence) -> list[str]:
    """What must be said where the run-to-run noise was not measured."""
    assumed = evidence.contrast.assumed and evidence.estimand != "images"
    return ["this rests on an assumed run-to-run noise, not on a measured one"] if assumed else []


def _keep(evidence: Evidence, gain: Interval) -> Judgement:
    margin, side = unit_of(evidence.metric).size(evidence.margin), _better(evidence)
    if gain.low > evidence.margin:
        label, where = "practical", f"lies wholly beyond the margin of {margin}"
    elif gain.high < evidence.margin:
        label, where = "small", f"lies {side} 0 but does not reach the margin of {margin}"
    else:
        label, where = "", f"lies {side} 0; whether it exceeds the margin of {margin} is open"
    costs = [f"at a cost: {evidence.instability}"] if evidence.instability else []
    costs += [_cost(guard) for guard in evidence.guards if not guard.non_inferior]
    return Judgement(
        verdict="keep",
        label="at a cost" if costs else label,
        reason=_sentence(evidence, evidence.interval, where, *costs),
        seeds_needed=None,
    )


def _reject(evidence: Evidence, gain: Interval) -> Judgement:
    margin = unit_of(evidence.metric).size(evidence.margin)
    narrow = _gain(evidence, evidence.interval_90)
    interval = evidence.interval
    if gain.high < 0:
        label, where = "worse", f"lies {'below' if evidence.higher_is_better else 'above'} 0"
    elif -evidence.margin < narrow.low and narrow.high < evidence.margin:
        label, where = "equivalent", f"lies within {margin} either way"
        interval = evidence.interval_90
    else:
        label, where = "", f"does not reach the margin of {margin}: the gain cannot be worth having"
    reason = _sentence(evidence, interval, where, evidence.instability)
    return Judgement(verdict="reject", label=label, reason=reason, seeds_needed=None)


def _inconclusive(evidence: Evidence) -> Judgement:
    where = f"holds both no gain and a gain of {unit_of(evidence.metric).size(evidence.margin)}"
    decides = partial(_decides, evidence)
    needed = seeds_to_decide(evidence, decides)
    way_out = f"at this delta {needed} seeds an arm would decide it" if needed else why_no_seeds(evidence, decides)
    return Judgement(
        verdict="inconclusive",
        label="",
        reason=_sentence(evidence, evidence.interval, where, evidence.instability, way_out),
        seeds_needed=needed,
    )


def _half_width(evidence: Evidence, df: float, variance: float) -> float:
    """What the interval over all arms would reach to either side, with this variance."""
    return evidence.widening * t_quantile(df, evidence.level) * math.sqrt(variance)


def _decides(evidence: Evidence, half: float) -> bool:
    gain = evidence.delta if evidence.higher_is_better else -evidence.delta
    return gain - half > 0 or gain + half < evidence.margin


def _gain(evidence: Evidence, interval: Interval) -> Interval:
    """The interval with better as more, whichever way the metric goes."""
    return interval if evidence.higher_is_better else Interval(low=-interval.high, high=-interval.low)


def _better(evidence: Evidence) -> str:
    return "above" if evidence.higher_is_better else "below"


def _sentence(evidence: Evidence, interval: Interval, where: str, *more: str) -> str:
    level = interval_title(2 * evidence.level - 1 if interval is evidence.interval_90 else None)
    unit = unit_of(evidence.metric)
    ends = unit.interval(interval.low, interval.high) + unit.symbol
    said = f"{unit.said(evidence.delta)}; the {level}, {ends}, {where}"
    return "; ".join([said, *filter(None, more), *noise_doubts(evidence)]) + "."


def _cost(guard: GuardResult) -> str:
    """What a guard metric does, and whether a loss of more than its margin is certain or only possible."""
    unit = unit_of(guard.metric)
    least_loss = -guard.ci_high if higher_is_better(guard.metric) else guard.ci_low
    loss = f"a loss above {unit.size(guard.margin)}"
    return (
        f"at a cost: {metric_title(guard.metric)} moves by {unit.said(guard.delta)} "
        f"({unit.interval(guard.ci_low, guard.ci_high)}{unit.symbol}), "
        f"{loss}" + ("" if least_loss > guard.margin else " that is not ruled out")
    )
