"""The same checkpoints with and without a treatment: differences run by run, and the noise that they have.

What a seed does to a run's score is in both scores and cancels. What is left varies over seeds by another, smaller
noise: measured within arms and pooled over all arms with the same treatment.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.influence import Measured, Units
from analysis.noise import WITHIN, SeedNoise, Term, seed_noise
from analysis.variance import Contrast, contrast, satterthwaite


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """One metric of a treated arm, and of the same runs as trained."""

    treatment: str
    before: Measured
    after: Measured

    @property
    def difference(self) -> Measured:
        """Treated minus untreated, run by run and unit by unit."""
        return replace(
            self.after,
            scores=self.after.scores - self.before.scores,
            influence=self.after.influence - self.before.influence,
        )

    @property
    def identity(self) -> tuple[str, bytes, bytes]:
        """Equal for treatments that do the same to an arm, as a temperature after `hflip` does to its hits.

        The units' part is a hash: of all of a large study's pairs the bytes themselves would fill the memory.
        """
        difference = self.difference
        units = hashlib.sha256(difference.influence.tobytes()).digest()
        return self.before.arm, difference.scores.tobytes(), units

    @property
    def moves(self) -> bool:
        """Whether the treatment changes anything that the metric sees."""
        difference = self.difference
        return bool(difference.scores.any() or difference.influence.any())


def paired_contrasts(pairs: Sequence[Paired], units: Units, *, run_sd: float) -> list[Contrast]:
    """The delta of each pair, taken apart; its seeds' noise is pooled over the arms of its treatment.

    An arm whose deltas vary more than the others' rests on its own runs (`SeedNoise`); one that nothing moves has
    no noise and is in no pool. Two treatments that do the same to an arm have one contrast.
    """
    noises = {t: _noise([pair for pair in pairs if pair.treatment == t], run_sd) for t in _treatments(pairs)}
    made: dict[tuple[str, bytes, bytes], Contrast] = {}
    return [made.setdefault(pair.identity, _contrast(pair, noises[pair.treatment], units)) for pair in pairs]


def _treatments(pairs: Sequence[Paired]) -> list[str]:
    return list(dict.fromkeys(pair.treatment for pair in pairs))


def _noise(pairs: Sequence[Paired], run_sd: float) -> SeedNoise:
    """The noise of one treatment's deltas, that of an arm with one run taken from the other arms."""
    moved = [pair.difference for pair in pairs if pair.moves] or [pair.difference for pair in pairs]
    noise = seed_noise(moved, run_sd=run_sd)
    within = _of_shared_seeds(noise)
    return replace(
        noise,
        runs={pair.after.arm: pair.difference for pair in pairs},
        run_sd=run_sd if within is None else math.sqrt(within.variance),
        within=within,
        blocks=None,  # a delta is one arm's: what a seed does to all arms alike moves it as well
    )


def _of_shared_seeds(noise: SeedNoise) -> Term | None:
    """The variance within arms, known by fewer degrees of freedom where seeds move all arms alike (Satterthwaite).

    It is the sum of two independent parts, the mean squares of seeds and of seeds x arms.
    """
    within, blocks = noise.within, noise.blocks
    if within is None or blocks is None or blocks.df == within.df:
        return within
    of_blocks = blocks.variance * blocks.df / within.df
    of_seeds = max(0.0, within.variance - of_blocks)
    terms = (Term(variance=of_seeds, df=within.df - blocks.df), Term(variance=of_blocks, df=blocks.df))
    shared = satterthwaite(within.variance, terms)
    return Term(variance=within.variance, df=min(within.df, shared.df))


def _contrast(pair: Paired, noise: SeedNoise, units: Units) -> Contrast:
    name = pair.after.arm
    found = contrast(name, {name: 1.0}, noise, units)
    if not pair.moves:
        return replace(found, parts=(), seed=Term(variance=0.0, df=math.inf))
    pool = f"{WITHIN}, {pair.treatment}"  # the pools of two treatments are not wrong together
    parts = tuple(replace(p, estimate=pool) if p.estimate == WITHIN else p for p in found.parts)
    return replace(found, parts=parts)
