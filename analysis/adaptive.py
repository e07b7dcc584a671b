"""Adaptive repeats: at each declared look the arms that it decides stop, the others go on to the next.

Each look's intervals hold for all arms at once, at the level that the look may spend. So those of all looks
together hold in 95 of 100 sweeps, whatever is stopped and why: they are repeated confidence intervals (Jennison and
Turnbull 1989, Journal of the Royal Statistical Society B 51). An arm that is given up costs power and no error.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scipy.special import ndtr

from analysis.looks import Look, look_at
from analysis.multiplicity import dunnett_quantile
from analysis.records import Comparison, Fate, GuardResult
from analysis.words import higher_is_better

LEAST_CHANCE = 0.05
"""An arm whose chance of being decided at a later look is smaller is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One look, as it finds the arms."""

    look: Look
    arms: Mapping[str, int]
    """Seeds of every arm, the sweep's first: those of the look where it is open, fewer where it stopped before."""
    judged: tuple[str, ...]
    """The arms that are open, which this look judges."""
    n_last: int
    """Seeds of the last look that is declared."""
    alpha_last: float
    """Its level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What became of every arm, look by look."""

    baseline: str
    stages: tuple[Stage, ...]
    """The looks that are reached, in turn."""
    fates: Mapping[str, Fate]
    """Of every arm but the baseline."""
    stopped: Mapping[str, Look]
    """The look at which an arm stopped."""

    @property
    def open(self) -> tuple[str, ...]:
        """Arms that go on, as far as looks are declared."""
        return tuple(arm for arm, fate in self.fates.items() if fate == "open")

    def n_seeds(self, arm: str) -> int:
        """Seeds of the arm that its verdict rests on; 0 before the first look."""
        return self.stages[-1].arms[arm] if self.stages else 0

    def look_of(self, arm: str) -> Look:
        """The look that judges the arm: where it stopped, or the last that is reached."""
        return self.stopped.get(arm, self.stages[-1].look)


def follow(
    arms: Sequence[str],
    declared: Sequence[int],
    *,
    taken: Sequence[int] = (),
    n_complete: Callable[[str], int],
    judge: Callable[[Stage], Mapping[str, Fate]],
) -> Course:
    """The looks in turn, as far as the arms that are open have their seeds.

    Args:
        arms: the baseline first; it goes on while any other is open.
        declared: numbers of seeds at which is looked, ascending.
        taken: numbers of seeds at which results were seen before.
        n_complete: seeds of an arm, from the sweep's first on, of which no run may still come.
        judge: the fate of each arm that a stage judges; one that it leaves out stays open.
    """
    baseline, *others = arms
    fates: dict[str, Fate] = dict.fromkeys(others, "open")
    seeds, stages, stopped = dict.fromkeys(arms, 0), list[Stage](), dict[str, Look]()
    for n_seeds in declared:
        going = [arm for arm, fate in fates.items() if fate == "open"]
        look = look_at(n_seeds, declared=declared, taken=taken)
        if not going or look is None or any(n_complete(arm) < n_seeds for arm in (baseline, *going)):
            break
        seeds |= dict.fromkeys((baseline, *going), n_seeds)
        stage = _stage(look, dict(seeds), tuple(going), declared, taken)
        stages.append(stage)
        found = {arm: fate for arm, fate in judge(stage).items() if arm in going and fate != "open"}
        fates |= found
        stopped |= dict.fromkeys(found, look)
    return Course(baseline=baseline, stages=tuple(stages), fates=fates, stopped=stopped)


def _stage(
    look: Look, seeds: Mapping[str, int], going: tuple[str, ...], declared: Sequence[int], taken: Sequence[int]
) -> Stage:
    last = look_at(declared[-1], declared=declared, taken=taken) or look
    return Stage(look=look, arms=seeds, judged=going, n_last=last.n_seeds, alpha_last=last.alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a gain stands at a look; more is better."""

    gain: float
    low: float
    """Lower end of the interval that holds for all arms at once."""
    high: float
    v_seed: float
    """Variance from this look's seeds."""
    v_images: float
    """Variance from images, which more seeds leave as it is."""


def fates_of(stage: Stage, comparisons: Sequence[Comparison], margin: float) -> dict[str, Fate]:
    """The fate of each arm that the stage judges, by its comparison at this look."""
    n_family = len(stage.arms) - 1
    return {c.arm: _fate(stage, c, margin, n_family) for c in comparisons if c.arm in stage.judged}


def _fate(stage: Stage, c: Comparison, margin: float, n_family: int) -> Fate:
    """Decided, unless the verdict is open, or a cost of what is kept.

    A loss in a guard metric that is merely not ruled out is a question that further seeds may answer.
    """
    if c.verdict == "inconclusive":
        return fate_of(standing_of(c), margin, stage, n_family)
    unclear = [guard for guard in c.guards if not guard.non_inferior and not _lost(guard)]
    if c.verdict == "reject" or c.diverged or any(map(_lost, c.guards)) or not unclear:
        return "decided"
    chance = min(_chance_of_clearing(guard, stage) for guard in unclear)
    return "decided" if chance < LEAST_CHANCE else "open"


def standing_of(c: Comparison) -> Standing:
    """Where a comparison stands."""
    up = higher_is_better(c.metric)
    low, high = c.ci_low_simultaneous, c.ci_high_simultaneous
    return Standing(
        gain=c.delta if up else -c.delta,
        low=low if up else -high,
        high=high if up else -low,
        v_seed=c.v_seed,
        v_images=max(0.0, c.se**2 - c.v_seed),
    )


def fate_of(standing: Standing, margin: float, stage: Stage, n_family: int) -> Fate:
    """Decided where the interval excludes no gain, or a gain of the margin; given up where no later look would."""
    if standing.low > 0 or standing.high < margin:
        return "decided"
    if stage.look.n_seeds >= stage.n_last:
        return "open"
    return "given up" if chance_of_deciding(standing, margin, stage, n_family) < LEAST_CHANCE else "open"


def chance_of_deciding(standing: Standing, margin: float, stage: Stage, n_family: int) -> float:
    """Probability that the last look decides an arm, by where it stands (predictive power, Spiegelhalter 1986).

    The delta is taken as normal around where it stands, with the variance of the seeds to come: nothing is known of
    it but this look's data. The last look's half-width is Dunnett's, with this look's variances.
    """
    share = stage.look.n_seeds / stage.n_last
    last = math.sqrt(standing.v_seed * share + standing.v_images)
    half = dunnett_quantile(n_family, math.inf, 1 - stage.alpha_last) * last
    return _beyond(standing.gain, half, margin - half, math.sqrt(standing.v_seed * (1 - share)))


def _beyond(centre: float, above: float, below: float, spread: float) -> float:
    """Probability that a normal value lies above the one or below the other."""
    if not spread:
        return float(centre > above or centre < below)
    return min(1.0, float(ndtr((centre - above) / spread) + ndtr((below - centre) / spread)))


def _lost(guard: GuardResult) -> bool:
    """Whether a loss above the margin is certain."""
    return guard.ci_high < -guard.margin if higher_is_better(guard.metric) else guard.ci_low > guard.margin


def _chance_of_clearing(guard: GuardResult, stage: Stage) -> float:
    """The same of a guard metric, that the last look rules a loss of the margin out or finds it.

    All of the interval is taken to come from seeds, which makes the chance large rather than small.
    """
    if stage.look.n_seeds >= stage.n_last:
        return 0.0
    share = stage.look.n_seeds / stage.n_last
    now = (guard.ci_high - guard.ci_low) / 2 / dunnett_quantile(1, math.inf, 1 - stage.look.alpha)
    half = dunnett_quantile(1, math.inf, 1 - stage.alpha_last) * now * math.sqrt(share)
    gain = guard.delta if higher_is_better(guard.metric) else -guard.delta
    return _beyond(gain, half - guard.margin, -half - guard.margin, now * math.sqrt(1 - share))
