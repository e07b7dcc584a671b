"""Which of those that a first stage tried go on: by what they scored on val, and by nothing else."""

from collections.abc import Mapping, Sequence

from analysis.words import higher_is_better
from dermtune.config import Scalar
from dermtune.questions import Search, Sweep
from dermtune.selection import Picked, Stage, Tried


def stage_of(first: object) -> Stage:
    """The first stage's name in files."""
    return "search" if isinstance(first, Search) else "screen"


def objectives(sweep: Sweep) -> tuple[str, ...]:
    """The primary metric, and the guard metrics where a search seeks them too."""
    guards = sweep.guard_metrics if isinstance(sweep.first, Search) and sweep.first.with_guards else ()
    return tuple(dict.fromkeys((sweep.primary_metric, *guards)))


def pick(sweep: Sweep, tried: Sequence[Tried]) -> tuple[Picked, ...]:
    """The arms of the second stage, the best first: at most `confirm` of those that are done.

    With one objective they stand in its order. With several come those that no other beats in all of them (the
    Pareto front), then those that only these beat, and so on (non-dominated sorting, Deb et al. 2002), each front
    in the order of the first. Never picked: the baseline, what has its levers, and what is the same as another.
    """
    if sweep.first is None:
        return ()
    searched = isinstance(sweep.first, Search)
    best = _ranked(_candidates(sweep, tried), objectives(sweep))[: sweep.first.confirm]
    return tuple(
        Picked(
            arm=f"pick-{place}" if searched else one.name,
            number=one.number,
            levers=_changed(one.levers, sweep.baseline),
        )
        for place, one in enumerate(best, start=1)
    )


def _candidates(sweep: Sweep, tried: Sequence[Tried]) -> list[Tried]:
    """Those that are done and are neither the baseline nor one another."""
    seen = {one.trial_ids for one in tried if one.number == 0}
    kept = []
    for one in tried:
        if one.state == "done" and one.trial_ids not in seen and _changed(one.levers, sweep.baseline):
            seen.add(one.trial_ids)
            kept.append(one)
    return kept


def _ranked(candidates: Sequence[Tried], metrics: Sequence[str]) -> list[Tried]:
    """Front by front, each by the first metric, the earlier of two equals first."""
    gains = {one.number: [_gain(one, metric) for metric in metrics] for one in candidates}
    ranked, left = [], list(candidates)
    while left:
        front = [one for one in left if not any(_beats(gains[o.number], gains[one.number]) for o in left)]
        ranked += sorted(front, key=lambda one: -gains[one.number][0])
        left = [one for one in left if one not in front]
    return ranked


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """At least as good in all, better in one."""
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def _gain(one: Tried, metric: str) -> float:
    return one.scores[metric] if higher_is_better(metric) else -one.scores[metric]


def _changed(levers: Mapping[str, Scalar], baseline: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """What the levers change from the baseline, and only that."""
    return {lever: value for lever, value in levers.items() if lever not in baseline or value != baseline[lever]}
