"""The grid as a factorial: what each lever does over all cells, and whether two levers' gains add up.

With the mean score y of an arm, levels a and b of two levers, 0 for the baseline's level and s for a setting of the
other levers:

    main effect of a         mean over s of  y(a, s) - y(0, s)
    interaction of a and b   mean over s of  y(a, b, s) - y(a, 0, s) - y(0, b, s) + y(0, 0, s)

The mean is over the settings whose arms are all there, so that a grid with holes in it still has effects
(Montgomery, Design and Analysis of Experiments, chapter 5). Each is a weighted sum of arms' scores and gets its
interval as a delta does, from the noise of all runs and from the images.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.composition import Pair, compose
from analysis.estimates import Design, Estimates
from analysis.inference import Inference
from analysis.records import Effect, Together
from analysis.variance import Contrast
from analysis.verdicts import Evidence, noise_doubts
from analysis.words import count, higher_is_better, level_title, level_words, listed, unit_of

Levels = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The levers' levels, and the arms in their cells."""

    references: Levels
    """The baseline's level of each lever."""
    levels: Mapping[str, tuple[Any, ...]]
    """Every level of each lever, the baseline's first."""
    arms: Mapping[tuple[Any, ...], str]
    """The arm of each cell that has one, by its levels in the levers' order; in the levels' order."""

    def further(self, lever: str) -> tuple[Any, ...]:
        """The lever's levels other than the baseline's."""
        return self.levels[lever][1:]

    def at(self, levels: Levels) -> list[Levels]:
        """The cells of arms that have these levels of some levers, in the levels' order."""
        wanted = [(place, levels[lever]) for place, lever in enumerate(self.levels) if lever in levels]
        there = (cell for cell in self.arms if all(cell[place] == level for place, level in wanted))
        return [dict(zip(self.levels, cell, strict=True)) for cell in there]

    def arm(self, levels: Levels) -> str | None:
        """The arm with exactly these levels, one of each lever."""
        return self.arms.get(tuple(levels[lever] for lever in self.levels))


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Levels of one lever or two against the baseline's, at every setting of the other levers."""

    levels: Levels
    references: Levels
    """The baseline's level of the same levers."""
    others: tuple[str, ...]
    """The levers that are averaged over."""
    cells: tuple[tuple[str, ...], ...]
    """Arms of one setting each: level, reference; or both levels, the one, the other, neither."""
    of_cells: int
    """Settings that the full grid has."""

    @property
    def titles(self) -> tuple[str, ...]:
        """`focal_gamma=2` of each level."""
        return tuple(level_title(lever, level) for lever, level in self.levels.items())

    @property
    def coefficients(self) -> dict[str, float]:
        """The weight of each arm's mean score; arms of a setting follow one another, so that equals cancel."""
        signs = (1, -1) if len(self.levels) == 1 else (1, -1, -1, 1)
        return {
            arm: sign / len(self.cells) for of_one in self.cells for arm, sign in zip(of_one, signs, strict=True)
        }

    @property
    def means_over(self) -> str:
        """`6 settings of label_smoothing and sampler_power`; of how many, where some are missing."""
        part = f"{len(self.cells)} of " if len(self.cells) < self.of_cells else ""
        return f"{part}{count(self.of_cells, 'setting')} of {listed(self.others)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An effect with what its replicates say."""

    estimates: Estimates
    crossing: Crossing
    contrast: Contrast
    inference: Inference

    @property
    def evidence(self) -> Evidence:
        """What its label and words rest on."""
        design = self.estimates.design
        return Evidence(
            metric=self.estimates.name,
            higher_is_better=higher_is_better(self.estimates.name),
            delta=self.contrast.delta,
            interval=self.inference.simultaneous,
            interval_90=self.inference.narrow,
            margin=design.study.question.margin,
            guards=(),
            contrast=self.contrast,
            estimand=design.estimand,
            level=design.level,
            widening=self.inference.widening,
        )

    def gain(self, corner: int) -> float:
        """Mean over settings of the arm in this place, minus the last, which has neither level."""
        runs, cells = self.estimates.runs, self.crossing.cells
        means = {arm: float(runs[arm].scores.mean()) for arms in cells for arm in (arms[corner], arms[-1])}
        return math.fsum(means[arms[corner]] - means[arms[-1]] for arms in cells) / len(cells)


def effects_of(estimates: Estimates) -> tuple[Effect, ...]:
    """Main effects, then interactions, each inferred as a family; none where levers are not crossed.

    A level that is seen at one setting of the other levers alone has no main effect: that is an arm's delta.
    """
    grid = grid_of(estimates.design)
    mains = [crossing(grid, levels) for levels in _singles(grid)]
    pairs = [crossing(grid, levels) for levels in _pairs(grid)]
    return (
        *map(_main_effect, _inferred(estimates, [main for main in mains if len(main.cells) > 1])),
        *map(_interaction, _inferred(estimates, [pair for pair in pairs if pair.cells])),
    )


def grid_of(design: Design) -> Grid:
    """The grid of the design's arms that have the baseline's levers; one without levers has no cells."""
    references = design.baseline.levers
    asked = [levers for levers in design.study.question.arms.values() if levers.keys() == references.keys()]
    arms = [arm for arm in design.arms if arm.levers.keys() == references.keys()]
    settings = [references, *asked, *(arm.levers for arm in arms)]
    levels = {lever: tuple(dict.fromkeys(levers[lever] for levers in settings)) for lever in references}
    order = [{level: place for place, level in enumerate(of_lever)} for of_lever in levels.values()]
    cells = {tuple(arm.levers[lever] for lever in references): arm.name for arm in arms}
    in_order = sorted(cells, key=lambda cell: [places[level] for places, level in zip(order, cell, strict=True)])
    return Grid(references=references, levels=levels, arms={cell: cells[cell] for cell in in_order})


def crossing(grid: Grid, levels: Levels) -> Crossing:
    """These levels crossed with every setting of the other levers that has an arm.

    A grid with holes may have far more settings than arms: levers that a search sets have a level an arm.
    """
    others = tuple(lever for lever in grid.levels if lever not in levels)
    settings = [{lever: cell[lever] for lever in others} for cell in grid.at(levels)]
    sides = itertools.product(*((level, grid.references[lever]) for lever, level in levels.items()))
    corners = [dict(zip(levels, side, strict=True)) for side in sides]
    cells = ([grid.arm(setting | corner) for corner in corners] for setting in settings)
    return Crossing(
        levels=levels,
        references={lever: grid.references[lever] for lever in levels},
        others=others,
        cells=tuple(tuple(filter(None, arms)) for arms in cells if None not in arms),
        of_cells=math.prod(len(grid.levels[lever]) for lever in others),
    )


def _singles(grid: Grid) -> list[Levels]:
    return [{lever: level} for lever in grid.levels for level in grid.further(lever)]


def _pairs(grid: Grid) -> list[Levels]:
    """Two levels each that some arm has both of."""
    place = {lever: number for number, lever in enumerate(grid.levels)}
    return [
        {one: level, other: other_level}
        for one, other in itertools.combinations(grid.levels, 2)
        for there in [{(cell[place[one]], cell[place[other]]) for cell in grid.arms}]
        for level in grid.further(one)
        for other_level in grid.further(other)
        if (level, other_level) in there
    ]


def _inferred(estimates: Estimates, family: Sequence[Crossing]) -> list[_Found]:
    """The family's effects, judged together."""
    contrasts = [estimates.contrast(" × ".join(of.titles), of.coefficients) for of in family]
    return [
        _Found(estimates=estimates, crossing=of, contrast=c, inference=inference)
        for of, c, inference in zip(family, contrasts, estimates.infer(contrasts), strict=True)
    ]


def _main_effect(found: _Found) -> Effect:
    crossed, interval = found.crossing, found.inference.simultaneous
    unit = unit_of(found.estimates.name)
    (title,), (reference,) = crossed.titles, crossed.references.values()
    ends = unit.interval(interval.low, interval.high) + unit.symbol
    said = f"{title} instead of {level_words(reference)}: {unit.delta(found.contrast.delta)}{unit.symbol} ({ends})"
    mean = f"{said}, the mean over {crossed.means_over}"
    return _effect(found, "; ".join([mean, *noise_doubts(found.evidence)]) + ".")


def _interaction(found: _Found) -> Effect:
    crossed = found.crossing
    one, other = crossed.titles
    pair = Pair(
        names=(one, other),
        both=found.gain(0),
        apart=(found.gain(1), found.gain(2)),
        means_over=crossed.means_over if crossed.others else "",
    )
    composition = compose(pair, found.evidence)
    together = Together(
        apart=pair.apart, both=pair.both, label=composition.label, seeds_needed=composition.seeds_needed
    )
    return _effect(found, composition.sentence, together)


def _effect(found: _Found, sentence: str, together: Together | None = None) -> Effect:
    crossed, c, inference = found.crossing, found.contrast, found.inference
    total = c.total(found.estimates.design.estimand)
    return Effect(
        name=c.name,
        levels=crossed.levels,
        references=crossed.references,
        n_cells=len(crossed.cells),
        of_cells=crossed.of_cells,
        estimate=c.delta,
        se=math.sqrt(total.variance),
        df=total.df,
        ci_low=inference.alone.low,
        ci_high=inference.alone.high,
        ci_low_simultaneous=inference.simultaneous.low,
        ci_high_simultaneous=inference.simultaneous.high,
        p_value=inference.p_value,
        p_adjusted=inference.p_adjusted,
        p_holm=inference.p_holm,
        sentence=sentence,
        together=together,
    )
