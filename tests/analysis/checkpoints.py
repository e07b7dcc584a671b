"""Treatments of the same checkpoints, drawn from a known truth; as a command, how often their intervals hold it.

python tests/analysis/checkpoints.py
"""

import sys
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from analysis.estimates import Design, infer_family
from analysis.influence import Measured, units_of
from analysis.pairs import Paired, paired_contrasts
from analysis.resampling import Draws, linear_image_deviations

SIZES = (200, 100, 60, 40)
_SCALES = (1.0, 1.6)
"""How an arm that varies more does against the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A treatment that turns some images right and some wrong, in every run of every arm."""

    n_arms: int = 8
    n_seeds: int = 10
    seed_sd: float = 0.03
    """Standard deviation of what a run as a whole gains."""
    shared: float = 0.25
    """Correlation of two arms' gains over seeds: seeds share their order of images, and all runs share val."""
    gain: float = 0.0
    """What an image is more often turned right than wrong."""
    noisier: float = 1.0
    """How much more the last arm's runs vary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What many sets come to."""

    held: float
    """Share of a row's own 95% intervals that hold the true gain."""
    held_last: float
    """The same of the last arm."""
    all_held: float
    """Share of sets whose simultaneous intervals all hold it."""
    kept: float
    """Share of sets with an interval wholly above 0."""
    width: float
    """Mean width of a row's own interval."""


def simulate(world, *, n_sets, n_resamples=400, rng_seed=0):
    """The intervals of `n_sets` sets, as `treated_arms` makes them."""
    rng = np.random.default_rng(rng_seed)
    label = np.repeat(np.arange(len(SIZES)), SIZES)
    units = units_of(label, np.arange(len(label)).astype(str), len(SIZES))
    alone, together, lows, widths = [], [], [], []
    for number in range(n_sets):
        pairs = drawn(world, label, units, rng)
        design = _design(units, Draws(n_resamples=n_resamples, seed=number))
        contrasts = paired_contrasts(pairs, units, run_sd=0.006)
        moved = _images(pairs, design)
        found = infer_family(contrasts, moved, design)
        alone.append([i.alone.low <= world.gain <= i.alone.high for i in found])
        together.append(all(i.simultaneous.low <= world.gain <= i.simultaneous.high for i in found))
        lows.append(max(i.simultaneous.low for i in found))
        widths.append(fmean(i.alone.high - i.alone.low for i in found))
    held = np.asarray(alone).mean(axis=0)
    return Found(
        held=float(held.mean()),
        held_last=float(held[-1]),
        all_held=fmean(together),
        kept=float((np.asarray(lows) > 0).mean()),
        width=fmean(widths),
    )


def drawn(world, label, units, rng):
    """One set: what the treatment does to each image in each run, as hits gained (1) and lost (-1)."""
    scale = world.seed_sd * np.append(np.ones(world.n_arms - 1), world.noisier)[:, None]
    common = rng.standard_normal(world.n_seeds)
    own = rng.standard_normal((world.n_arms, world.n_seeds))
    shift = scale * (np.sqrt(world.shared) * common + np.sqrt(1 - world.shared) * own)
    pairs = []
    for a in range(world.n_arms):
        tilt = rng.uniform(-0.1, 0.1, len(label))  # what the treatment does to an image, whatever the run
        up = 0.25 + (world.gain + tilt + np.clip(shift[a], -0.1, 0.1)[:, None]) / 2
        u = rng.random((world.n_seeds, len(label)))
        move = (u < up).astype(float) - (u > 0.5 + up)  # P(1) = up, P(-1) = 1/2 - up
        pairs.append(_paired(f"arm{a}", move, label, units))
    return pairs


def _paired(name, move, label, units):
    weight = 1 / (len(SIZES) * np.asarray(SIZES, dtype=float)[label])
    values = np.stack([np.bincount(units.of_image, row * weight, minlength=units.n_units) for row in move])
    seeds = tuple(range(len(move)))
    zero = Measured(arm=name, seeds=seeds, scores=np.zeros(len(move)), influence=np.zeros_like(values))
    after = Measured(
        arm=f"{name}+hflip",
        seeds=seeds,
        scores=values.sum(axis=1),
        influence=np.stack([units.centred(row) for row in values]),
    )
    return Paired(treatment="hflip", before=zero, after=after)


def _images(pairs, design):
    influence = np.stack([pair.difference.influence.mean(axis=0) for pair in pairs])
    moved = linear_image_deviations(influence, design.units, design.draws)
    return {pair.after.arm: of_row for pair, of_row in zip(pairs, moved, strict=True)}


def _design(units, draws):
    return Design(
        study=None, units=units, estimand="both", run_sd=0.006, draws=draws, look=None, baseline=None, others=()
    )


def main():
    """Print the table of docs/statistics.md."""
    for noisier in _SCALES:
        for n_seeds in (3, 5, 10):
            found = simulate(World(n_seeds=n_seeds, noisier=noisier), n_sets=1000, n_resamples=1000)
            shares = (found.held, found.held_last, found.all_held, found.kept)
            cells = [
                f"{noisier:g}",
                f"{n_seeds}",
                *(f"{share:.3f}" for share in shares),
                f"{100 * found.width:.2f}",
            ]
            sys.stdout.write(f"| {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
