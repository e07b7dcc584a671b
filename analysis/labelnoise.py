"""How many wrong test labels it would take to turn each verdict: true labels drawn, and all arms scored on them.

A drawn error knows an image's label and nothing else of it. Scores are sums of hits over classes, and an error
takes an image out of one sum and puts it into another: only images whose label changes are touched. An error that
is there at one rate is there at every higher one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from analysis.estimates import Design
from analysis.findings.labels import ArmUnderNoise, ErrorModel, Judged, LabelNoise, Turning
from analysis.metrics import Floats
from analysis.records import Comparison, Report
from analysis.study import Arm, Ints, on_these
from analysis.words import metric_title

RATES = (0.02, 0.05, 0.07, 0.10, 0.12, 0.16, 0.20)
"""Shares of wrong labels; 7 to 16% are what dermatological test sets are known to have."""
N_DRAWS = 100
_VERDICTS: tuple[Judged, ...] = get_args(Judged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Images whose label is drawn to be wrong, F of them over all draws and at the highest rate."""

    image: Ints
    """The image, [F]."""
    true: Ints
    """The drawn true class of each, [F]."""
    draw: Ints
    """0..D-1, [F]."""
    begins: Ints
    """The first of `RATES` at which it is wrong, [F]; it stays so at every higher one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescored:
    """A delta on drawn labels, for E rates, of which the first is nought, and D draws."""

    delta: Floats
    """[E, D]; nan where the metric's class has lost all its images."""
    variance: Floats
    """What images, taken singly, add to its variance, [E, D]."""


def label_noise(report: Report, design: Design) -> LabelNoise | None:
    """For every arm the share of draws in which its verdict stays, at each rate and under each model of error.

    `uniform` takes any other class for the true one. `confusions` takes class j for an image labelled k as often as
    runs call images labelled k a j, the mean over all arms, none favoured. A share of all labels is wrong, alike in
    every class; images of one group share their error. The interval's half-widths are the report's, in which the
    part of the variance that images carry is scaled by what it is on the drawn labels.

    None where nothing is compared, and where the labels were corrected already.
    """
    if design.study.corrected or not report.comparisons:
        return None
    by_group = design.units.n_units < len(design.study.label)
    record = LabelNoise(rates=RATES, n_draws=N_DRAWS, by_group=by_group, arms=(), not_offered=_why_not(report))
    if record.not_offered:
        return record
    votes = {arm.name: votes_of(arm) for arm in design.arms}
    turnings: dict[str, list[Turning]] = {comparison.arm: [] for comparison in report.comparisons}
    gains = {c.arm: votes[c.arm] - votes_of(on_these(design.baseline, c.seeds)) for c in report.comparisons}
    for model in get_args(ErrorModel):
        errors = draw_errors(design, model, votes)
        for comparison in report.comparisons:
            gained = gains[comparison.arm]
            scored = rescored(gained, errors, report, design.study.label)
            turnings[comparison.arm].append(_turning(model, scored, comparison, report))
    arms = tuple(
        ArmUnderNoise(arm=c.arm, verdict=c.verdict, turnings=tuple(turnings[c.arm])) for c in report.comparisons
    )
    return LabelNoise(rates=RATES, n_draws=N_DRAWS, by_group=by_group, arms=arms)


def _why_not(report: Report) -> str:
    if report.metric in ("balanced_accuracy", "top1") or report.metric.startswith("recall:"):
        return ""
    return (
        f"{metric_title(report.metric)} cannot be scored on drawn labels: of an image only the predicted class and "
        "the labelled one's rank and probability are kept; balanced accuracy, top-1 and recall can"
    )


def votes_of(arm: Arm) -> Floats:
    """Share of the arm's runs that predict each class, [N, K]."""
    first = arm.runs[0].outcome
    votes = np.zeros((len(first.label), first.n_classes))
    images = np.arange(len(votes))
    for run in arm.runs:
        votes[images, run.outcome.predicted] += 1 / len(arm.runs)
    return votes


def draw_errors(design: Design, model: ErrorModel, votes: Mapping[str, Floats]) -> Errors:
    """True labels drawn for each of `RATES`, given every arm's votes; a unit draws once for all its images."""
    label, unit = design.study.label, design.units.of_image
    rng = design.draws.stream("label-noise", model)
    threshold = rng.random((N_DRAWS, design.units.n_units))
    direction = rng.random((N_DRAWS, design.units.n_units))
    draw, image = np.nonzero((threshold < RATES[-1])[:, unit])
    of_unit = draw, unit[image]
    ways = np.cumsum(_directions(model, label, list(votes.values())), axis=1)
    true = (direction[of_unit][:, None] >= ways[label[image], :-1]).sum(axis=1)
    begins = np.searchsorted(RATES, threshold[of_unit], side="right")
    return Errors(image=image, true=true, draw=draw, begins=begins)


def _directions(model: ErrorModel, label: Ints, votes: Sequence[Floats]) -> Floats:
    """Chance that a wrongly labelled image of class k is truly a j, [K, K]; rows sum to one.

    The diagonal is nought. The errors of a class that no run ever confuses are uniform.
    """
    k = votes[0].shape[1]
    ways = np.ones((k, k))
    if model == "confusions":
        called = np.mean(votes, axis=0)
        ways = np.stack([called[label == of_class].sum(axis=0) for of_class in range(k)])
    np.fill_diagonal(ways, 0)
    ways[ways.sum(axis=1) == 0] = 1
    np.fill_diagonal(ways, 0)
    return np.asarray(ways / ways.sum(axis=1, keepdims=True))


def rescored(gained: Floats, errors: Errors, report: Report, label: Ints) -> Rescored:
    """The delta on drawn labels, from `gained` [N, K]: share of runs that call an image a class, arm - baseline."""
    sizes = _by_class(np.ones_like(gained), errors, label)
    sums = _by_class(gained, errors, label)
    squares = _by_class(gained**2, errors, label)
    weights = _class_weights(report, sizes)
    means = sums / np.maximum(sizes, 1)
    spread = (squares - sums * means) / np.maximum(sizes - 1, 1)
    there = np.where(weights.any(axis=-1), 1.0, np.nan)
    return Rescored(
        delta=(weights * means).sum(axis=-1) * there,
        variance=(weights**2 * spread / np.maximum(sizes, 1)).sum(axis=-1),
    )


def _by_class(values: Floats, errors: Errors, label: Ints) -> Floats:
    """Sums over the images of each drawn class of their value [N, K] in it, [E, D, K]; E from no error up."""
    n_rates, k = len(RATES) + 1, values.shape[1]
    size, given = n_rates * N_DRAWS * k, label[errors.image]
    cell = ((errors.begins + 1) * N_DRAWS + errors.draw) * k
    came = np.bincount(cell + errors.true, values[errors.image, errors.true], size)
    went = np.bincount(cell + given, values[errors.image, given], size)
    moved = np.cumsum((came - went).reshape(n_rates, N_DRAWS, k), axis=0)
    return np.asarray(np.bincount(label, values[np.arange(len(label)), label], k) + moved)


def _class_weights(report: Report, sizes: Floats) -> Floats:
    """What the recall of each class weighs in the metric, [..., K], at these class sizes."""
    present = sizes > 0
    kind, _, of_class = report.metric.partition(":")
    if kind == "recall":
        return np.asarray(present * (np.asarray(report.class_names) == of_class), dtype=np.float64)
    weights = present if kind == "balanced_accuracy" else sizes
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float64)


def _turning(model: ErrorModel, scored: Rescored, comparison: Comparison, report: Report) -> Turning:
    verdicts = _verdicts(scored, comparison, report)[1:]
    stays = verdicts == _VERDICTS.index(comparison.verdict)
    unchanged = stays.mean(axis=1)
    most = np.flatnonzero(unchanged < 0.5)
    first = int(most[0]) if len(most) else -1
    turned = verdicts[first][~stays[first]]
    return Turning(
        model=model,
        unchanged=tuple(map(float, unchanged)),
        rate=_half_turned(unchanged, first) if len(most) else None,
        into=_VERDICTS[int(np.bincount(turned).argmax())] if len(turned) else None,
    )


def _verdicts(scored: Rescored, comparison: Comparison, report: Report) -> NDArray[np.int64]:
    """Places in `_VERDICTS`, [E, D], by the rule of `analysis.verdicts.judge`; more is better of them all."""
    scale = _widths(scored.variance, comparison, report)
    low = scored.delta - scale * (comparison.delta - comparison.ci_low_simultaneous)
    high = scored.delta + scale * (comparison.ci_high_simultaneous - comparison.delta)
    return np.select([low > 0, high < report.margin], [0, 1], 2)


def _widths(variance: Floats, comparison: Comparison, report: Report) -> Floats:
    """Half-widths in units of the report's, [E, D]: what is the seeds' alone stays, the rest follows `variance`."""
    total, now = comparison.se**2, variance[0, 0]
    if not total or not now:
        return np.ones_like(variance)
    fixed = 0.0 if report.estimand == "images" else max(0.0, comparison.v_seed - comparison.v_res)
    return np.asarray(np.sqrt((fixed + max(0.0, total - fixed) * variance / now) / total))


def _half_turned(unchanged: Floats, first: int) -> float:
    """Rate at which half of the draws are turned, where `first` is the first that turns more: in proportion."""
    before, low = (RATES[first - 1], float(unchanged[first - 1])) if first else (0.0, 1.0)
    return before + (RATES[first] - before) * (low - 0.5) / (low - float(unchanged[first]))
