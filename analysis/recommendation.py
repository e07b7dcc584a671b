"""What to do now, from the verdicts: ship, repeat, drop. No statistics of its own, only what the report has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.findings.calibration import ArmCalibration
from analysis.findings.posthoc import TreatedArm
from analysis.interim import no_look_yet
from analysis.records import Comparison, Effect, GuardResult, Report, Verdict
from analysis.words import (
    count,
    higher_is_better,
    interval_title,
    level_title,
    listed,
    metric_title,
    unit_of,
)

MANY_WRONG_LABELS = 0.16
"""Share of wrong test labels from which on a verdict that they turn needs no warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """An undecided arm, and what would decide it."""

    arm: str
    n_seeds: int
    """Seeds an arm, in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A kept arm that may worsen a guard metric by more than the margin, or that diverged with some seeds."""

    arm: str
    gain: float
    """Its delta in the report's metric."""
    costs: tuple[str, ...]
    """The guard metrics, and `divergence`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What the report comes to for those who act on it."""

    ship: str
    """The kept arm with the largest gain at no cost; the baseline where there is none."""
    trades: tuple[Trade, ...]
    """Kept arms at a cost that gain more than what is shipped, the largest gain first."""
    repeat: tuple[Repeat, ...]
    """Undecided arms that more seeds would decide."""
    set_aside: tuple[str, ...]
    """Undecided arms that more seeds would hardly decide."""
    drop: tuple[str, ...]
    """Rejected arms."""
    after_training: str | None
    """The kept treatment of the shipped arm's checkpoints with the largest gain, `baseline+hflip`; None without."""
    temperature: float | None
    """What the shipped arm's logits are divided by, mean over seeds; None where it does not mend the ECE."""
    sentences: tuple[str, ...]
    """All of it as a person says it, in this order."""


def recommend(report: Report) -> Recommendation | None:
    """What to ship, to repeat and to drop; None where there is one arm alone."""
    if len(report.arms) < 2:
        return None
    best, undecided, rejected = _best_free(report), _ranked(report, "inconclusive"), _ranked(report, "reject")
    ship, traded = best.arm if best else report.baseline, _traded(report, best)
    treated, calibration = _best_treated(report, ship), _mended(report, ship)
    repeat = tuple(Repeat(arm=c.arm, n_seeds=c.seeds_needed) for c in undecided if c.seeds_needed is not None)
    set_aside = tuple(c.arm for c in undecided if c.seeds_needed is None)
    about = (_composing(report, best), _labels(report, best)) if best else ()
    said = (_ship(report, best), *about, _trades(report, best), *after_training(report, ship))
    return Recommendation(
        ship=ship,
        trades=tuple(Trade(arm=c.arm, gain=c.delta, costs=tuple(_cost_names(c))) for c in traded),
        repeat=repeat,
        set_aside=set_aside,
        drop=tuple(comparison.arm for comparison in rejected),
        after_training=treated.name if treated else None,
        temperature=calibration.temperature.mean if calibration and calibration.temperature else None,
        sentences=tuple(filter(None, (*said, *_repeat(repeat), _set_aside(set_aside), _drop(report, rejected)))),
    )


def after_training(report: Report, arm: str) -> tuple[str, ...]:
    """What to do to the arm's checkpoints that needs no training, a sentence each."""
    treated, calibration = _best_treated(report, arm), _mended(report, arm)
    sentences = (_treated(report, treated) if treated else "", _calibrated(calibration) if calibration else "")
    return tuple(filter(None, sentences))


def best_kept(report: Report) -> Comparison | None:
    """The kept arm with the largest gain, those without a cost before all others; None where none is kept."""
    return _best_free(report) or next(iter(_ranked(report, "keep")), None)


def _best_free(report: Report) -> Comparison | None:
    """The kept arm with the largest gain among those without a cost."""
    return next((c for c in _ranked(report, "keep") if not _cost_names(c)), None)


def _traded(report: Report, best: Comparison | None) -> list[Comparison]:
    """Kept arms that stand before the one to ship, each at a cost."""
    kept = _ranked(report, "keep")
    return kept[: kept.index(best)] if best else kept


def _ranked(report: Report, verdict: Verdict) -> list[Comparison]:
    """The arms with this verdict, the largest gain first."""
    chosen = [comparison for comparison in report.comparisons if comparison.verdict == verdict]
    return sorted(chosen, key=lambda comparison: comparison.delta, reverse=higher_is_better(report.metric))


def _ship(report: Report, best: Comparison | None) -> str:
    metric = metric_title(report.metric)
    if report.look and not report.look.judges:
        return f"Ship the baseline for now: {no_look_yet(report.look)}."
    if best:
        return f"Ship {best.arm}: {_with_interval(report, best)} in {metric} over the baseline."
    if best_kept(report):
        return f"Ship the baseline, unless a cost is accepted: every arm that gains in {metric} has one."
    return f"Ship the baseline: no arm is shown to beat it in {metric}."


def _trades(report: Report, best: Comparison | None) -> str:
    """What more is to be had, and for what; empty where nothing is."""
    traded = [_trade(report, comparison) for comparison in _traded(report, best)]
    return f"To be weighed, for no interval decides it: {'; '.join(traded)}." if traded else ""


def _trade(report: Report, comparison: Comparison) -> str:
    gain = unit_of(report.metric).said(comparison.delta)
    costs = [f"{unit_of(g.metric).said(g.delta)} of {metric_title(g.metric)}" for g in _costs(comparison)]
    costs += [f"{count(comparison.diverged, 'run')} that diverged"] if comparison.diverged else []
    return f"{comparison.arm}, {gain} for {listed(costs)}"


def _cost_names(comparison: Comparison) -> list[str]:
    """What it costs, by name: guard metrics, and seeds with which it cannot be trained."""
    return [guard.metric for guard in _costs(comparison)] + ["divergence"] * bool(comparison.diverged)


def _costs(comparison: Comparison) -> list[GuardResult]:
    return [guard for guard in comparison.guards if not guard.non_inferior]


def _composing(report: Report, best: Comparison) -> str:
    """What is known of the shipped arm's levers together; empty where it sets one alone, or nothing is known."""
    pairs = [effect for effect in report.effects if effect.together and _sets(report, best.arm, effect.levels)]
    if not pairs:
        return ""
    open_ones = _names(effect for effect in pairs if effect.together and effect.together.label == "undecided")
    against = _names(effect for effect in pairs if effect.together and effect.together.label == "cancel")
    if against:
        return f"Its gain is less than its levers' gains together: {listed(against)} work against each other."
    if open_ones:
        return f"Its gain is that of the whole: whether {listed(open_ones)} compose is open."
    return f"Its levers may go together: {listed(_names(pairs))} compose."


def _sets(report: Report, arm: str, levels: Mapping[str, Any]) -> bool:
    (levers,) = [summary.levers for summary in report.arms if summary.arm == arm]
    return all(levers.get(lever) == level for lever, level in levels.items())


def _names(effects: Iterable[Effect]) -> list[str]:
    return [" and ".join(level_title(lever, level) for lever, level in effect.levels.items()) for effect in effects]


def _labels(report: Report, best: Comparison) -> str:
    """A warning where few wrong labels would turn the shipped arm's verdict; empty where it takes many."""
    arms = report.label_noise.arms if report.label_noise else ()
    rates = [t.rate for arm in arms if arm.arm == best.arm for t in arm.turnings if t.rate is not None]
    if not rates or min(rates) >= MANY_WRONG_LABELS:
        return ""
    return (
        f"Have its test labels read again first: were {100 * min(rates):.0f}% of them wrong, it might not be kept."
    )


def _best_treated(report: Report, arm: str) -> TreatedArm | None:
    """The arm's kept treatment with the largest gain; None where none is kept."""
    kept = [treated for treated in report.posthoc if treated.arm == arm and treated.verdict == "keep"]
    ranked = sorted(kept, key=lambda treated: treated.primary.delta, reverse=higher_is_better(report.metric))
    return next(iter(ranked), None)


def _treated(report: Report, treated: TreatedArm) -> str:
    unit = unit_of(report.metric)
    ends = unit.interval(treated.ci_low_simultaneous, treated.ci_high_simultaneous) + unit.symbol
    price = f", at {treated.forward_passes} forward passes an image" if treated.forward_passes > 1 else ""
    cost = ", and at a cost in a guard metric" if treated.label == "at a cost" else ""
    gain = f"{unit.said(treated.primary.delta)} ({interval_title(report.level)} {ends})"
    return f"After training, {treated.name} gives {gain} on the same checkpoints{price}{cost}."


def _mended(report: Report, arm: str) -> ArmCalibration | None:
    """The arm's calibration where a temperature makes it better."""
    (found,) = [c for c in report.calibration if c.arm == arm] or (None,)
    return found if found and found.after and found.after.ece < found.before.ece else None


def _calibrated(calibration: ArmCalibration) -> str:
    if calibration.temperature is None or calibration.after is None:
        return ""
    unit = unit_of("ece")
    errors = f"{unit.size(calibration.before.ece)} to {unit.size(calibration.after.ece)}"
    return (
        f"Divide the logits of {calibration.arm} by a temperature fitted on val "
        f"({calibration.temperature.mean:.2f}, mean over seeds): "
        f"the ECE goes from {errors}."
    )


def _repeat(repeat: Sequence[Repeat]) -> list[str]:
    """One sentence a number of seeds, the fewest first."""
    return [
        f"Repeat {listed([r.arm for r in repeat if r.n_seeds == n])} with {count(n, 'seed')} an arm: "
        "that would decide it at the delta seen."
        for n in sorted({r.n_seeds for r in repeat})
    ]


def _set_aside(arms: Sequence[str]) -> str:
    return f"Set {listed(arms)} aside: undecided, and more seeds will hardly change that." if arms else ""


def _drop(report: Report, rejected: Sequence[Comparison]) -> str:
    if not rejected:
        return ""
    unit = unit_of(report.metric)
    return f"Drop {listed([c.arm for c in rejected])}: a gain of {unit.size(report.margin)} is ruled out."


def _with_interval(report: Report, comparison: Comparison) -> str:
    unit = unit_of(report.metric)
    ends = unit.interval(comparison.ci_low_simultaneous, comparison.ci_high_simultaneous) + unit.symbol
    return f"{unit.said(comparison.delta)} ({interval_title(report.level_of(comparison))} {ends})"
