"""Adaptive repeats against fixed ones: the error of all looks together, what is decided, and what it costs."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from analysis.adaptive import Stage, Standing
from analysis.inference import infer
from analysis.planning import Variation
from analysis.resampling import Draws, deviations, widened
from analysis.sequential import Followed, Scored, Stands, Truth, contrasts, drawn_scores, fixed, followed, standings
from analysis.simulation.scenes import Row
from analysis.simulation.studies import Size

LOOKS = (5, 8, 12, 20)
MARGIN = 0.006
DELTAS = (-0.01, 0.0, 0.003, 0.006, 0.01, 0.015, 0.02, 0.03)
"""True deltas of all arms alike."""
MIXED = (0.03, 0.015, 0.01, 0.006, 0.0, 0.0, -0.01)
"""Those of seven arms that are worth unlike much."""
IMAGES = 0.003
"""Standard deviation of a delta from the test images, where they count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one drawn sweep came to."""

    deltas: Sequence[float]
    """The true ones, by arm."""
    standings: Sequence[Standing]
    """Of each arm, at the look that judged it."""
    at_last: Sequence[Standing]
    """The same at the last look that is reached, of arms that stopped with the seeds that they have."""
    margin: float
    given_up: float
    """Share of the arms that are given up."""
    share: float
    """Trials, of those that fixed repeats at the last look's seeds take."""

    @property
    def errs(self) -> bool:
        """Whether any arm's interval misses its true delta."""
        return self._miss(self.standings)

    @property
    def errs_at_last(self) -> bool:
        """The same where all are judged at the last look: stopped arms on seeds that a look has chosen."""
        return self._miss(self.at_last)

    @property
    def keeps_wrongly(self) -> bool:
        """Whether an arm is kept that is worth nothing."""
        return any(s.low > 0 >= d for d, s in zip(self.deltas, self.standings, strict=True))

    @property
    def kept(self) -> float:
        """Share of the arms that are kept."""
        return float(np.mean([s.low > 0 for s in self.standings]))

    @property
    def rejected(self) -> float:
        """Share of the arms that are rejected, and not kept as small."""
        return float(np.mean([s.high < self.margin and s.low <= 0 for s in self.standings]))

    def _miss(self, standings: Sequence[Standing]) -> bool:
        return any(not s.low <= d <= s.high for d, s in zip(self.deltas, standings, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatsCell:
    """Sweeps of one truth, and what is asked of them."""

    name: str
    truth: Truth
    looks: tuple[int, ...]
    ask: "Ask"

    def rows(self, size: Size) -> list[Row]:
        """The figures."""
        return self.ask(self, size)

    def row(self, method: str, values: Sequence[float], *, n_seeds: int | None = None) -> Row:
        """A figure of this cell: the mean over sweeps, with its standard error."""
        return Row(
            world=self.name,
            rarest=None,
            n_seeds=n_seeds or self.looks[-1],
            method=method,
            share=float(np.mean(values)),
            error=float(np.std(values) / math.sqrt(len(values))),
        )

    def sweeps(self, size: Size) -> Iterator[Scored]:
        """As many drawn sweeps as the study is of."""
        return drawn_scores(self.truth, n_seeds=self.looks[-1], n_sets=size.n_sets, rng_seed=size.rng_seed)


Ask = Callable[[RepeatsCell, Size], list[Row]]


def outcome_of(sweep: Scored, looks: Sequence[int], *, stands: Stands = standings) -> Outcome:
    """The sweep with adaptive repeats, at its end."""
    end: Followed = followed(sweep, looks, stands=stands)
    names = sweep.truth.arms
    at_last = stands(sweep, replace(end.course.stages[-1], judged=names[1:]))
    return Outcome(
        deltas=sweep.truth.deltas,
        standings=[end.standings[arm] for arm in names[1:]],
        at_last=[at_last[arm] for arm in names[1:]],
        margin=sweep.truth.margin,
        given_up=[*end.course.fates.values()].count("given up") / (len(names) - 1),
        share=end.n_trials / (len(names) * looks[-1]),
    )


def replicated(sweep: Scored, stage: Stage, *, n_resamples: int) -> dict[str, Standing]:
    """Where each arm stands by the replicates that a report makes, of scores alone."""
    alpha, family = stage.look.alpha, contrasts(sweep, stage.arms)
    draws = Draws(n_resamples=n_resamples, seed=0).beyond(alpha)
    moved = widened(deviations(family, {}, draws, estimand="seeds"), family, draws, estimand="seeds")
    found = infer([c.delta for c in family], moved, level=1 - alpha)
    return {
        c.name: Standing(
            gain=c.delta,
            low=of_c.simultaneous.low,
            high=of_c.simultaneous.high,
            v_seed=c.seed.variance,
            v_images=0.0,
        )
        for c, of_c in zip(family, found, strict=True)
        if c.name in stage.judged
    }


def _adaptive(cell: RepeatsCell, size: Size, *, stands: Stands = standings) -> list[Row]:
    ends = [outcome_of(sweep, cell.looks, stands=stands) for sweep in cell.sweeps(size)]
    return [
        cell.row("an interval misses", [end.errs for end in ends]),
        cell.row("misses at the last look", [end.errs_at_last for end in ends]),
        cell.row("keeps wrongly", [end.keeps_wrongly for end in ends]),
        cell.row("arms kept", [end.kept for end in ends]),
        cell.row("arms rejected", [end.rejected for end in ends]),
        cell.row("arms given up", [end.given_up for end in ends]),
        cell.row("trials, of fixed", [end.share for end in ends]),
    ]


def _by_replicates(cell: RepeatsCell, size: Size) -> list[Row]:
    """Of a tenth of the sweeps: the replicates of a first look take a second."""
    fewer = replace(size, n_sets=max(1, size.n_sets // 10))
    return _adaptive(cell, fewer, stands=partial(replicated, n_resamples=size.n_resamples))


def _equal_power(cell: RepeatsCell, size: Size) -> list[Row]:
    """What fixed repeats keep of these arms, from the last look's seeds down to the first that keep fewer."""
    sweeps = list(cell.sweeps(size))
    aim = float(np.mean([outcome_of(sweep, cell.looks).kept for sweep in sweeps]))
    rows = []
    for n_seeds in range(cell.looks[-1], 1, -1):
        kept = [_kept(fixed(sweep, n_seeds)) for sweep in sweeps]
        rows.append(cell.row("fixed: arms kept", kept, n_seeds=n_seeds))
        if float(np.mean(kept)) < aim:
            break
    return rows


def _kept(standings: Mapping[str, Standing]) -> float:
    return float(np.mean([standing.low > 0 for standing in standings.values()]))


def repeats(looks: Sequence[int] = LOOKS) -> list[RepeatsCell]:
    """One arm and seven, alike and unlike, with and without images; then what fixed repeats of equal power take."""

    def cell(name: str, deltas: Sequence[float], *, image_sd: float = 0.0, ask: Ask = _adaptive) -> RepeatsCell:
        truth = Truth(deltas=tuple(deltas), variation=Variation(image_sd=image_sd), margin=MARGIN)
        return RepeatsCell(name=name, truth=truth, looks=tuple(looks), ask=ask)

    arms = {1: "1 arm", 7: "7 arms"}
    return [
        *(cell(f"{said} of {100 * delta:+.1f} pt", [delta] * n) for n, said in arms.items() for delta in DELTAS),
        *(cell(f"7 arms of {100 * d:+.1f} pt, images", [d] * 7, image_sd=IMAGES) for d in (0.0, 0.015)),
        cell("7 unlike arms", MIXED),
        *(cell(f"{said} of the margin", [MARGIN] * n, ask=_equal_power) for n, said in arms.items()),
        cell("7 arms of +0.0 pt, by replicates", [0.0] * 7, ask=_by_replicates),
    ]
