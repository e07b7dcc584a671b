"""What is left of a gain from where it was picked to where it is judged."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy import stats

from analysis.estimates import Design
from analysis.findings.selection import Agreement, Confirmed, FirstStage, Optimism, Selection, Yardstick
from analysis.metrics import Floats, class_sizes, metric_named
from analysis.optimism import expected_largest
from analysis.records import Comparison, Report
from analysis.study import Arm
from analysis.words import higher_is_better

_FEWEST_DF = 4
"""Degrees of freedom below which a measured deviation is no better than the assumed one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondStage:
    """What the second stage says of the picks, on the metric that picked them."""

    baseline: str
    """Its name."""
    val: Mapping[str, Mapping[int, float]]
    """Score on `val` by arm and seed, of arms that have runs."""
    test: Mapping[str, Comparison]
    """Judged on `test`, by arm; empty where that is not done, or on another metric."""
    run_sd: float
    """Run-to-run standard deviation to assume where it cannot be measured."""

    def deltas(self, arm: str) -> dict[int, float]:
        """The arm's deltas on `val` by seed, of the seeds that the baseline has too."""
        baseline = self.val.get(self.baseline, {})
        return {seed: score - baseline[seed] for seed, score in self.val.get(arm, {}).items() if seed in baseline}


def selection_of(report: Report, design: Design) -> Selection | None:
    """What the first stage saw of its picks, and what fresh seeds and `test` leave of it; None without one."""
    first = design.study.selection
    if first is None:
        return None
    val = {arm.name: _val_scores(arm, first.metric, design.study.classes) for arm in design.arms}
    baseline = first.tried[0].name
    same = (report.metric, report.baseline) == (first.metric, baseline)
    second = SecondStage(
        baseline=baseline,
        val={name: of_seeds for name, of_seeds in val.items() if of_seeds},
        test={c.arm: c for c in report.comparisons} if same else {},
        run_sd=design.run_sd,
    )
    return shrinkage(first, second)


def shrinkage(first: FirstStage, second: SecondStage) -> Selection:
    """Each pick's delta in the first stage, with fresh seeds and on `test`, and how much picking alone shows."""
    searched = first.stage == "search"
    ruler = yardstick(first, second) if searched else None
    confirmed = confirmations(first, second, ruler)
    return Selection(
        first_stage=first,
        confirmed=confirmed,
        optimism=optimism(first, second) if searched else None,
        yardstick=ruler,
        agreement=None if searched else agreement(confirmed),
    )


def confirmations(first: FirstStage, second: SecondStage, ruler: Yardstick | None) -> tuple[Confirmed, ...]:
    """The picks' deltas at each step, the best first."""
    return tuple(_confirmed(first, second, ruler, place) for place in range(1, len(first.picks) + 1))


def optimism(first: FirstStage, second: SecondStage) -> Optimism | None:
    """The mean over picks of first-stage delta minus that of fresh seeds; None without runs that share seeds.

    The first stage's deltas are what they are, one number a pick. Each shared seed gives one mean over the picks of
    its deltas, and Student's t with R - 1 degrees of freedom over these R means its interval: it holds the noise
    of the baseline, which all picks share, and speaks for other seeds of these picks on this `val`.
    """
    seen = {pick: delta for pick in first.picks if (delta := first.delta(pick.number)) is not None}
    deltas = {pick: of_pick for pick in seen if (of_pick := second.deltas(pick.arm))}
    seeds = sorted(set[int].intersection(*map(set, deltas.values()))) if deltas else []
    if not seeds:
        return None
    by_seed = np.array([fmean(seen[pick] - of_pick[seed] for pick, of_pick in deltas.items()) for seed in seeds])
    mean, half = float(by_seed.mean()), _half_width(by_seed)
    return Optimism(
        mean=mean,
        ci_low=None if half is None else mean - half,
        ci_high=None if half is None else mean + half,
        n_picks=len(deltas),
        n_seeds=len(seeds),
        why_not="" if half is not None else "one seed says nothing of what another would have done",
    )


def yardstick(first: FirstStage, second: SecondStage) -> Yardstick | None:
    """The delta that picking alone shows: the largest of n draws; None where no point was trained to its end.

    All points share their seed, and what that does to every arm alike moves no delta. What is left of runs is
    independent from arm to arm, and the baseline's own part is nought on average: the best of n points that do
    nothing lies sd m_n / sqrt(R) above it, m_n the expected largest of n standard normal draws.
    """
    points = first.tried[1:]
    n_whole, n_scored = (sum(one.state in states for one in points) for states in (("done",), ("done", "pruned")))
    if not n_whole:
        return None
    sd, df = _residual_sd(second)
    one = _one(first, sd)
    return Yardstick(
        sd=sd,
        df=df,
        n_whole=n_whole,
        n_scored=n_scored,
        best=one * expected_largest(n_whole),
        best_scored=one * expected_largest(n_scored),
    )


def agreement(confirmed: Sequence[Confirmed]) -> Agreement:
    """How far a screening's order of the arms that went on is that of the second stage."""
    return Agreement(
        tau_val=_tau([(one.first, one.fresh) for one in confirmed]),
        tau_test=_tau([(one.first, one.test) for one in confirmed]),
        n_arms=len(confirmed),
    )


def _confirmed(first: FirstStage, second: SecondStage, ruler: Yardstick | None, place: int) -> Confirmed:
    pick = first.picks[place - 1]
    seen, deltas = first.delta(pick.number), second.deltas(pick.arm)
    fresh, judged = fmean(deltas.values()) if deltas else None, second.test.get(pick.arm)
    return Confirmed(
        arm=pick.arm,
        number=pick.number,
        first=seen,
        fresh=fresh,
        n_seeds=len(deltas),
        shrinkage=None if seen is None or fresh is None else seen - fresh,
        test=judged.delta if judged else None,
        ci_low=judged.ci_low_simultaneous if judged else None,
        ci_high=judged.ci_high_simultaneous if judged else None,
        by_chance=_by_chance(first, ruler, place),
    )


def _by_chance(first: FirstStage, ruler: Yardstick | None, place: int) -> float | None:
    """What the pick of this place would show if no lever did anything."""
    if ruler is None or place > ruler.n_whole:
        return None
    return _one(first, ruler.sd) * expected_largest(ruler.n_whole, place)


def _one(first: FirstStage, sd: float) -> float:
    """A standard deviation of a first-stage score, in the direction of what is better."""
    direction = 1.0 if higher_is_better(first.metric) else -1.0
    return direction * sd / math.sqrt(len(first.seeds))


def _half_width(values: Floats) -> float | None:
    """Half of Student's 95% interval of the mean; None of a single value."""
    if len(values) < 2:
        return None
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))


def _residual_sd(second: SecondStage) -> tuple[float, int | None]:
    """What runs vary by on `val` beyond arm and seed, over the seeds that all arms have; else what is assumed.

    The root of the mean square is too small on average, by c4 = sqrt(2 / df) Gamma((df + 1) / 2) / Gamma(df / 2) of
    normal scores (Johnson, Kotz and Balakrishnan 1994, section 13.8.2), and the yardstick is linear in it: c4 is
    divided out.
    """
    shared = sorted(set[int].intersection(*map(set, second.val.values()))) if second.val else []
    df = (len(second.val) - 1) * (len(shared) - 1)
    if len(shared) < 2 or df < _FEWEST_DF:
        return second.run_sd, None
    scores = np.array([[of_arm[seed] for seed in shared] for of_arm in second.val.values()])
    left = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    root = math.sqrt(float((left**2).sum()) / df)
    return root / (math.sqrt(2 / df) * math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2))), df


def _tau(pairs: Sequence[tuple[float | None, float | None]]) -> float | None:
    """Kendall's tau-b (Kendall 1945) of those that have both; None where an order is not to be had."""
    known = [(one, other) for one, other in pairs if one is not None and other is not None]
    if len(known) < 2:
        return None
    tau = float(stats.kendalltau(*zip(*known, strict=True)).statistic)
    return None if math.isnan(tau) else tau


def _val_scores(arm: Arm, metric: str, classes: Sequence[str]) -> dict[int, float]:
    """The arm's score on `val` by seed, of its runs that have one."""
    outcomes = {run.seed: run.posthoc.val for run in arm.runs if run.posthoc and run.posthoc.val is not None}
    return {
        seed: metric_named(metric, classes=classes, sizes=class_sizes(seen)).score(seen)
        for seed, seen in outcomes.items()
    }
