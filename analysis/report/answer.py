"""The answer in at most three sentences, made from the verdicts and from what levers do together."""

from collections.abc import Sequence

from analysis.interim import no_look_yet
from analysis.records import Comparison, Composing, Report, Verdict
from analysis.report.effects import most_telling
from analysis.report.repeats import OWN_SEEDS
from analysis.words import (
    Unit,
    count,
    interval_title,
    level_title,
    listed,
    metric_title,
    population,
    seed_counts,
    unit_of,
)

_COMPOSING: dict[Composing, str] = {
    "compose": "{} compose",
    "reinforce": "{} reinforce each other",
    "cancel": "{} work against each other",
    "undecided": "Whether {} compose is open",
}


def answer(report: Report) -> tuple[str, ...]:
    """What to keep, what to reject, what is undecided, whether levers compose: three sentences at most.

    A report of one arm alone says its noise instead.
    """
    if report.look and not report.look.judges:
        return (f"{no_look_yet(report.look).capitalize()}.",)
    if not report.comparisons:
        return (_noise(report),)
    kept = _kept(report, _ranked(report, "keep"))
    rejected = _rejected(report, _ranked(report, "reject"))
    undecided = _undecided(report, _ranked(report, "inconclusive"))
    composing = _composing(report)
    if rejected and undecided and composing:
        return kept, _joined(rejected, undecided), composing
    return tuple(filter(None, (kept, rejected, undecided, composing)))


def scope(report: Report) -> str:
    """What the figures rest on, and what their intervals speak for: a sentence or two below the verdicts."""
    evidence = (
        f"{seed_counts(arm.n_seeds for arm in report.arms)}, {_test_set(report)}, "
        f"{count(report.n_resamples, 'resample')}; margin {unit_of(report.metric).size(report.margin)}."
    )
    if not report.comparisons:
        return evidence
    held = f"Intervals hold for all arms at once{_look(report)}"
    unlike = f" {OWN_SEEDS}" if report.repeats else ""
    return f"{evidence} {held} and speak for {population(report.estimand)}.{unlike}"


def _test_set(report: Report) -> str:
    if not report.n_images:
        return "scores alone"
    groups = f" of {count(report.n_groups, 'group')}" if report.n_groups < report.n_images else ""
    return f"{count(report.n_images, 'test image')}{groups}, {count(len(report.class_names), 'class')}"


def _look(report: Report) -> str:
    """At a look, what its level is for."""
    if report.look is None:
        return ""
    if report.repeats:
        return ", each arm's at the look that judged it, so strictly that all looks together err in 5 of 100,"
    return (
        f", at look {report.look.number} of {report.look.of} so strictly that all looks together err in 5 of 100,"
    )


def _ranked(report: Report, verdict: Verdict) -> list[Comparison]:
    chosen = [comparison for comparison in report.comparisons if comparison.verdict == verdict]
    return sorted(chosen, key=lambda comparison: -comparison.delta)


def _kept(report: Report, kept: Sequence[Comparison]) -> str:
    metric, unit = metric_title(report.metric), unit_of(report.metric)
    if not kept:
        return f"No arm is shown to beat the baseline in {metric}."
    keep = "Keep" if any(c.label != "at a cost" for c in kept) else "Keep, if the cost is accepted,"
    if len(kept) > 1:
        return f"{keep} {listed([_with_delta(c, unit) for c in kept])}, in {metric} over the baseline."
    only = kept[0]
    ends = unit.interval(only.ci_low_simultaneous, only.ci_high_simultaneous) + unit.symbol
    interval = f"its {interval_title(report.level_of(only))} is {ends}"
    return f"{keep} {_with_delta(only, unit)}, in {metric} over the baseline; {interval}."


def _rejected(report: Report, rejected: Sequence[Comparison]) -> str:
    if not rejected:
        return ""
    unit = unit_of(report.metric)
    names = listed([_with_delta(c, unit) for c in rejected])
    return f"Reject {names}: a gain of {unit.size(report.margin)} is ruled out."


def _undecided(report: Report, undecided: Sequence[Comparison]) -> str:
    if not undecided:
        return ""
    unit = unit_of(report.metric)
    ways = {_way_out(comparison) for comparison in undecided}
    if len(ways) == 1:
        return f"Undecided: {listed([_with_delta(c, unit) for c in undecided])}; {ways.pop()}."
    return f"Undecided: {listed([f'{c.arm} ({unit.said(c.delta)}; {_way_out(c)})' for c in undecided])}."


def _joined(one: str, other: str) -> str:
    """Two sentences as one."""
    return f"{one.removesuffix('.')}; {other[0].lower()}{other[1:]}"


def _composing(report: Report) -> str:
    """What the most telling interaction comes to; empty where there is none."""
    effect = most_telling(report)
    if effect is None or effect.together is None:
        return ""
    unit = unit_of(report.metric)
    names = listed([level_title(lever, level) for lever, level in effect.levels.items()])
    ends = unit.interval(effect.ci_low_simultaneous, effect.ci_high_simultaneous) + unit.symbol
    gap = f"together they differ from their sum by {unit.said(effect.estimate)} ({ends})"
    return f"{_COMPOSING[effect.together.label].format(names)}: {gap}."


def _way_out(comparison: Comparison) -> str:
    if comparison.seeds_needed is None:
        return "more seeds will hardly decide it"
    return f"{comparison.seeds_needed} seeds an arm would decide it at this delta"


def _with_delta(comparison: Comparison, unit: Unit) -> str:
    cost = ", at a cost" if comparison.label == "at a cost" else ""
    return f"{comparison.arm} ({unit.said(comparison.delta)}{cost})"


def _noise(report: Report) -> str:
    metric, unit = metric_title(report.metric), unit_of(report.metric)
    alone = report.arms[0]
    mean = f"{alone.arm} alone: {metric} {unit.score(alone.mean)} over {count(alone.n_seeds, 'seed')}"
    if alone.sd is None:
        return f"{mean}; its run-to-run noise needs a second seed."
    return f"{mean}, with a run-to-run standard deviation of {unit.size(alone.sd)}."
