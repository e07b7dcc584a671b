"""How much of a report is chance and where it comes from: sentences and cells made from the records."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from analysis.noise import UNLIKE
from analysis.records import Comparison, Noise, Report, Sources
from analysis.report.drawing import Figure
from analysis.report.moreseeds import more_seeds_said, more_seeds_table, prospects
from analysis.report.section import Section
from analysis.words import Unit, correlation, count, listed, metric_title, pvalue, unit_of

TITLE = "How much is chance?"

Source = Literal["images", "residual", "seeds"]

_CLEARLY = 5
"""Percent of a variance: where more images and more seeds differ by less, they help alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Apportioned:
    """A delta's standard error, and where its variance comes from."""

    arm: str
    se: float
    sources: Sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Misled:
    """How often single runs of arm and baseline point away from the mean delta."""

    n: int
    of: int
    """Seed pairs; all pairs of runs where the arms' seeds differ."""


def chance(report: Report) -> tuple[str, ...]:
    """How runs vary, where a delta's variance comes from, what pairing gains and how single runs mislead.

    A sentence or two each, left out where nothing is known. An arm alone says how its runs vary. Where no arm has a
    second run nothing was measured, and that is all there is to say.
    """
    noise = report.noise
    if noise is None:
        return (_assumed(report),)
    if not report.comparisons:
        return (_spread(report, noise),)
    sentences = (
        _spread(report, noise),
        _equality(report, noise),
        _sources(report),
        _pairing(report, noise),
        _misleading(report),
    )
    return tuple(filter(None, sentences))


def chance_section(report: Report, figures: Sequence[Figure] = ()) -> Section:
    """The same as a part of page and Markdown, with what more seeds would buy."""
    rows, unit = prospects(report), unit_of(report.metric)
    return Section(
        key="chance",
        title=TITLE,
        said=(*chance(report), *([more_seeds_said(rows, unit)] if rows else [])),
        figures=tuple(figures),
        tables=(more_seeds_table(rows, unit),) if rows else (),
    )


def legend(report: Report) -> str:
    """What the verdict table's columns of chance mean; empty where nothing is compared."""
    if not report.comparisons:
        return ""
    better = (
        "the chance that the arm's checkpoints beat the baseline's on new images"
        if report.estimand == "images"
        else "the chance that one new run of the arm beats one new run of the baseline"
    )
    pairs = _pairs(report.comparisons)
    return (
        "p adj. allows for all arms being tested at once (max-t over joint resamples, stepping down from the "
        f"clearest arm); Holm's p stands with it as the check. P(better) is {better}. One run misleads: the "
        f"{pairs} in which a single run of each points away from the mean delta."
    )


def apportioned(report: Report) -> tuple[Apportioned, ...]:
    """The deltas whose variance has several sources, all of them measured.

    An interval that speaks for seeds alone or images alone has one source, and where an arm has one run the seeds'
    part is assumed.
    """
    if report.estimand != "both":
        return ()
    runs = _n_seeds(report)
    return tuple(
        Apportioned(arm=c.arm, se=c.se, sources=c.sources)
        for c in report.comparisons
        if c.sources and min(runs[c.arm], runs[c.baseline]) > 1
    )


def percentages(sources: Sources) -> dict[Source, int]:
    """The shares in whole percent: the parts' ends are rounded, so that the parts still fill the whole."""
    images, both = round(100 * sources.images), round(100 * (sources.images + sources.residual))
    return {"images": images, "residual": both - images, "seeds": 100 - both}


def what_helps(sources: Sources) -> str:
    """Which takes more from this variance, twice the images or twice the seeds; the residual falls with either."""
    gain = 100 * (sources.images - sources.seeds) / 2
    if abs(gain) < _CLEARLY:
        return "both help alike"
    return "images help more" if gain > 0 else "seeds help more"


def misled(report: Report, comparison: Comparison) -> Misled | None:
    """How often single runs mislead; None where there is one run of each, or no delta to point away from."""
    if comparison.misled_rate is None or not comparison.delta:
        return None
    of = len(comparison.seed_deltas) or math.prod(
        sum(seed in comparison.seeds for seed in arm.seeds)
        for arm in report.arms
        if arm.arm in (comparison.arm, comparison.baseline)
    )
    return Misled(n=round(comparison.misled_rate * of), of=of)


def misled_words(report: Report, comparison: Comparison) -> str:
    """`2 of 6`, or a dash where it cannot be told."""
    found = misled(report, comparison)
    return f"{found.n} of {found.of}" if found else "–"


def sd_words(noise: Noise, unit: Unit, *more: str) -> str:
    """`1.44 pt (95% interval 1.17 to 1.85)`: the run-to-run standard deviation, and more in the brackets."""
    ends = f"95% interval {unit.score(noise.ci_low)} to {unit.score(noise.ci_high)}"
    return f"{unit.score(noise.sd)}{unit.symbol} ({', '.join([ends, *more])})"


def _assumed(report: Report) -> str:
    sd = unit_of(report.metric).size(report.run_sd)
    said = f"No arm has a second run: a run-to-run standard deviation of {sd} is assumed, not measured"
    return f"{said}{_left_out(report)}."


def _spread(report: Report, noise: Noise) -> str:
    metric, unit = metric_title(report.metric), unit_of(report.metric)
    known = sd_words(noise, unit, f"{count(round(noise.df), 'degree')} of freedom")
    if not float(unit.score(noise.sd)):
        return f"Runs of the same configuration agree: the run-to-run standard deviation of {metric} is {known}."
    return (
        "Two runs of the same configuration differ by chance: the run-to-run standard deviation of "
        f"{metric} is {known}{_left_out(report)}."
    )


def _left_out(report: Report) -> str:
    """What an interval for fixed checkpoints does with the noise; empty of any other."""
    if report.estimand != "images" or not report.comparisons:
        return ""
    return "; the intervals, which speak for these checkpoints, leave it out"


def _equality(report: Report, noise: Noise) -> str:
    """Whether arms vary alike, and which variance the deltas rest on for that."""
    if report.estimand == "images":
        return ""
    test = "" if noise.alike_p is None else f" (Bartlett's p {pvalue(noise.alike_p)})"
    if noise.unlike:
        shared = len(noise.unlike) < len(report.comparisons)
        others = ", the others share one variance of all arms" if shared else ""
        return (
            f"Not all deltas are taken to vary alike from seed to seed{test}: of {listed(noise.unlike)} the delta "
            f"varies more than the rest lets expect and rests on its own runs alone{others}."
        )
    if noise.alike_p is None:
        return "Too few arms to test whether arms vary alike: one variance is used for all."
    runs = "every arm" if min(_n_seeds(report).values()) > 1 else "every arm that has a second run"
    serves = f"one variance, pooled over their runs, serves {runs}"
    if noise.alike_p < UNLIKE:
        return f"Arms do not all vary alike{test}, but no delta varies more than the rest lets expect: {serves}."
    return f"Arms vary alike as far as one can see{test}: {serves}."


def _sources(report: Report) -> str:
    """Where a delta's variance comes from, mean over arms, and what would lower it."""
    match report.estimand:
        case "seeds":
            return "The intervals take this test set as given: all of a delta's variance comes from seeds."
        case "images":
            return "All of a delta's variance comes from the test images."
    deltas = apportioned(report)
    if not deltas:
        return ""
    mean = _mean([delta.sources for delta in deltas])
    percent, over = percentages(mean), _mean_over(len(deltas), len(report.comparisons))
    return (
        f"Of a delta's variance, {percent['images']}% comes from the test images, {percent['seeds']}% from seeds "
        f"and {percent['residual']}% from what a run does to an image{over}. "
        f"Twice the images would take {50 * (mean.images + mean.residual):.0f}% off it, twice the seeds "
        f"{50 * (mean.seeds + mean.residual):.0f}%: {what_helps(mean)}."
    )


def _mean(sources: Sequence[Sources]) -> Sources:
    return Sources(
        seeds=fmean(s.seeds for s in sources),
        images=fmean(s.images for s in sources),
        residual=fmean(s.residual for s in sources),
    )


def _mean_over(n: int, of: int) -> str:
    if of == 1:
        return ""
    return f" (mean over {count(n, 'arm')})" if n == of else f" (mean over {n} of {count(of, 'arm')})"


def _pairing(report: Report, noise: Noise) -> str:
    """What the seeds that arms share take off a delta's variance."""
    if report.estimand == "images" or noise.seed_correlation is None:
        return ""
    r = round(noise.seed_correlation, 2) + 0.0  # no negative nought
    paired = [c for c in report.comparisons if c.seed_deltas]
    if r <= 0:
        return (
            f"Runs that share a seed are no more alike than others (correlation {correlation(r)}): pairing by seed "
            "gains nothing here."
        )
    said = f"Runs that share a seed correlate at {correlation(r)}{_by_arm(report.comparisons)}"
    if not paired:
        return f"{said}, but no arm has just the baseline's seeds: pairing by seed gains little here."
    if not noise.paired:
        return (
            f"{said}, but arms and seeds are too few to pair by seed: it would cost more in degrees of freedom "
            "than it takes off the variance, and deltas are reckoned unpaired."
        )
    about = "" if noise.pooled else "about "
    others = [c.arm for c in report.comparisons if not c.seed_deltas]
    unpaired = f"; {listed(others)}, with other seeds than the baseline's, gain less" if others else ""
    left = f"{100 * (1 - r):.0f}% of what it would be unpaired"
    return f"{said}: paired by seed, the seeds' part of a delta's variance is {about}{left}{unpaired}."


def _by_arm(comparisons: Sequence[Comparison]) -> str:
    """From the lowest to the highest correlation of an arm with the baseline."""
    known = sorted(c.seed_correlation for c in comparisons if c.seed_correlation is not None)
    if len(known) < 2:
        return ""
    return f" over all arms ({correlation(known[0])} to {correlation(known[-1])} by arm, with the baseline)"


def _misleading(report: Report) -> str:
    """How often single runs point the wrong way, where the way is known; else how often they stray."""
    sure = [c for c in report.comparisons if not c.ci_low_simultaneous <= 0 <= c.ci_high_simultaneous]
    asked = [c for c in sure or report.comparisons if misled(report, c)]
    counts = [found for c in asked if (found := misled(report, c))]
    if not counts:
        return ""
    share = f"{sum(m.n for m in counts)} of {sum(m.of for m in counts)} {_pairs(asked)}"
    if not sure:
        return (
            "No arm's interval lies on one side of 0, so which way a single run ought to point is open; "
            f"{share} point away from the mean delta."
        )
    lies = "whose interval lies" if len(asked) == 1 else "whose intervals lie"
    return (
        f"For {listed([c.arm for c in asked])}, {lies} on one side of 0, a single run of arm and baseline would "
        f"have pointed the wrong way in {share}."
    )


def _pairs(comparisons: Sequence[Comparison]) -> str:
    """What single runs are counted in."""
    return "seed pairs" if all(c.seed_deltas for c in comparisons) else "pairs of runs"


def _n_seeds(report: Report) -> Mapping[str, int]:
    return {arm.arm: arm.n_seeds for arm in report.arms}
