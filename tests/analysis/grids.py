"""Studies of a full grid of levers, drawn from known chances."""

import itertools
from dataclasses import replace

import numpy as np

from analysis.effects import effects_of
from analysis.estimates import Design, estimate
from analysis.influence import units_of
from analysis.metrics import outcome
from analysis.resampling import Draws
from analysis.study import Arm, Question, Run, Study

GAMMA, SMOOTHING, SAMPLER = "focal_gamma", "label_smoothing", "sampler_power"
TWO_BY_TWO = {GAMMA: (0.0, 2.0), SMOOTHING: (0.0, 0.1)}
FOUR_BY_TWO = {GAMMA: (0.0, 1.0, 2.0, 3.0), SMOOTHING: (0.0, 0.1)}
THREE_LEVERS = {GAMMA: (0.0, 1.0, 2.0), SMOOTHING: (0.0, 0.1), SAMPLER: (0.0, 1.0)}
SIZES = (30, 12, 6)


def cells(levels):
    return [dict(zip(levels, values, strict=True)) for values in itertools.product(*levels.values())]


def name_of(levers):
    return "+".join(f"{lever}={value:g}" for lever, value in levers.items() if value) or "baseline"


def crossed(levels, *, chance=lambda levers: 0.5, n_seeds=4, sizes=SIZES, seed_sd=0.05, shared=0.05, rng_seed=0):
    """Every cell of the levels as an arm whose runs hit an image with its chance, moved by seed, run and image.

    What moves it has a mean of nought and never reaches 0 or 1: effects of chances are the effects in truth.
    """
    rng = np.random.default_rng(rng_seed)
    label = np.repeat(np.arange(len(sizes)), sizes)
    of_seeds = rng.normal(0, shared, n_seeds)
    arms = []
    for levers in cells(levels):
        responses = rng.uniform(-0.15, 0.15, len(label))
        runs = []
        for seed in range(n_seeds):
            move = np.clip(of_seeds[seed] + rng.normal(0, seed_sd), -0.15, 0.15)
            right = rng.random(len(label)) < chance(levers) + responses + move
            runs.append(Run(seed=seed, outcome=_hit(label, right, len(sizes), rng)))
        arms.append(Arm(name=name_of(levers), levers=levers, runs=tuple(runs)))
    return _study(arms, label, len(sizes))


def _hit(label, right, n_classes, rng):
    other = (label + rng.integers(1, n_classes, len(label))) % n_classes
    predicted = np.where(right, label, other)
    return outcome(label, 0.9 * np.eye(n_classes)[predicted] + 0.1 / n_classes)


def _study(arms, label, n_classes):
    ids = np.array([f"{j:05d}" for j in range(len(label))])
    return Study(
        question=Question(
            name="grid", sentence="", baseline="baseline", arms={arm.name: arm.levers for arm in arms}
        ),
        classes=tuple(f"class{k}" for k in range(n_classes)),
        sample_id=ids,
        group_id=ids,
        label=label,
        arms=tuple(arms),
    )


def without(study, *names):
    return replace(study, arms=tuple(arm for arm in study.arms if arm.name not in names))


def design_of(study, *, estimand="both", baseline="baseline", n_resamples=2000):
    return Design(
        study=study,
        units=units_of(study.label, study.group_id, len(study.classes)),
        estimand=estimand,
        run_sd=0.006,
        draws=Draws(n_resamples=n_resamples, seed=0),
        look=None,
        baseline=next(arm for arm in study.arms if arm.name == baseline),
        others=tuple(arm for arm in study.arms if arm.name != baseline),
    )


def estimates_of(study, metric="balanced_accuracy", **options):
    return estimate(design_of(study, **options), [metric])[metric]


def effects(study, metric="balanced_accuracy", **options):
    """The study's effects by name."""
    return {effect.name: effect for effect in effects_of(estimates_of(study, metric, **options))}
