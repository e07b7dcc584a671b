"""How a first stage found the arms, and what a second one leaves of their gains: the records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Stage = Literal["search", "screen"]
State = Literal["done", "pruned", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One point of a search, or one arm of a screening."""

    number: int
    """In the order in which they were proposed; 0 is the baseline."""
    name: str
    """The arm's name in the first stage."""
    levers: Mapping[str, Any]
    state: State
    epochs: int
    """Epochs trained."""
    scores: Mapping[str, float]
    """On `val`, means over the first stage's seeds, fractions, of the last epoch; empty where it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """An arm of the second stage."""

    arm: str
    """Its name there."""
    number: int
    """Which of those tried it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStage:
    """What a first stage tried, and what it picked."""

    stage: Stage
    metric: str
    """By which it picked."""
    objectives: tuple[str, ...]
    """The metric, and those sought beside it."""
    seeds: tuple[int, ...]
    """None of which the second stage has."""
    epochs: int
    """Of a whole trial."""
    tried: tuple[Tried, ...]
    """The baseline first."""
    picks: tuple[Picked, ...]
    """The best first."""
    importances: Mapping[str, float] = field(default_factory=dict)
    """Each lever's share in the variance of the metric over the points (fANOVA), summing to one; empty of a
    screening."""
    by_factors: tuple[str, ...] = ()
    """Levers whose range is searched by the logarithm."""

    @property
    def baseline_score(self) -> float | None:
        """The baseline's; None where it was not trained to its end, so that nothing has a delta to it."""
        baseline = self.tried[0]
        return baseline.scores[self.metric] if baseline.state == "done" else None

    @property
    def n_by_state(self) -> Mapping[State, int]:
        """How many of those tried beside the baseline are done, were pruned, have failed."""
        states: tuple[State, ...] = get_args(State)
        return {state: sum(one.state == state for one in self.tried[1:]) for state in states}

    def delta(self, number: int) -> float | None:
        """The delta to the baseline of the point, or the arm, with this number; None where one has no score."""
        score = next(one.scores.get(self.metric) for one in self.tried if one.number == number)
        return None if score is None or self.baseline_score is None else score - self.baseline_score


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """One pick's delta to the baseline at each step from where it was found to where it is judged."""

    arm: str
    number: int
    """Which of those tried it is."""
    first: float | None
    """On `val`, with the first stage's own runs, by which it was picked; None without the baseline's there."""
    fresh: float | None
    """On the same `val`, mean over the second stage's seeds; None where those are not there."""
    n_seeds: int
    """Of `fresh`: seeds that arm and baseline both have."""
    shrinkage: float | None
    """`first` minus `fresh`: what of it was the first runs' luck."""
    test: float | None
    """On `test`, the same runs; None where that is not judged on the metric that was picked by."""
    ci_low: float | None
    """Lower end of its interval that holds for all arms at once."""
    ci_high: float | None
    by_chance: float | None
    """What the pick of this place would show in the first stage if no lever did anything; None of a screening."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimism:
    """By how much the first stage's deltas exceed those of fresh seeds on the same `val`, mean over the picks."""

    mean: float
    """In the metric's own direction: first stage minus fresh seeds."""
    ci_low: float | None
    """Lower end of its 95% interval: other seeds, these picks, this `val`; None where it cannot be had."""
    ci_high: float | None
    n_picks: int
    """Picks that have runs on `val`."""
    n_seeds: int
    """Seeds that these and the baseline share, whose deltas it is the mean over."""
    why_not: str = ""
    """Why there is no interval; empty where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """How large a gain picking alone shows: the largest of so many draws of run-to-run noise."""

    sd: float
    """Standard deviation of a run's score on `val`, without what a seed does to all arms alike."""
    df: int | None
    """Degrees of freedom of `sd`; None where it is assumed."""
    n_whole: int
    """Points trained to the end, without the baseline."""
    n_scored: int
    """With those that were pruned."""
    best: float
    """Expected delta of the best of `n_whole` points if no lever did anything."""
    best_scored: float
    """The same of `n_scored`, an upper bound: that of `n_whole` is too small where pruning stops the worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Whether a screening and the second stage put the arms that went on in one order."""

    tau_val: float | None
    """Kendall's tau-b of deltas on `val`; None with fewer than two arms, or where all are equal."""
    tau_test: float | None
    """The same with the deltas on `test`."""
    n_arms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A first stage and what became of its picks."""

    first_stage: FirstStage
    confirmed: tuple[Confirmed, ...]
    """The picks, the best first."""
    optimism: Optimism | None
    """None of a screening, and where no pick has fresh seeds on `val`."""
    yardstick: Yardstick | None
    """None of a screening, which trains another model than the second stage."""
    agreement: Agreement | None
    """None of a search."""
