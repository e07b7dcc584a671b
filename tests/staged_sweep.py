"""Sweeps of two stages, of seconds: a screening of four arms, and a search of few points."""

import os

from tests.tiny_sweep import RECIPE

LEARNING = RECIPE.replace("epochs=4, batch_size=64", "epochs=3, batch_size=32, learning_rate=1e-2")
"""The tiny recipe, so fast that its scores differ."""

SCREENING = '''"""Which learning rate?"""

from dermtune.plan import Screen, Sweep


def sweep():
    return Sweep(
        name="tiny",
        grid={"learning_rate_factor": (1.0, 5.0, 0.001), "label_smoothing": (0.0, 0.3)},
        baseline={"learning_rate_factor": 1.0, "label_smoothing": 0.0},
        seeds=range(2),
        first=Screen(confirm=2, seeds=(1000, 1001)),
    )
'''

SEARCH = '''"""Which focal loss?"""

from optuna.distributions import FloatDistribution

from dermtune.plan import Search, Sweep


def sweep():
    return Sweep(
        name="tiny",
        baseline={"focal_gamma": 0.0, "learning_rate_factor": 1.0},
        seeds=range(2),
        first=Search(
            space={"focal_gamma": FloatDistribution(0.0, 3.0), "learning_rate_factor": FloatDistribution(0.1, 5.0)},
            n_points=5,
            confirm=1,
            grace_epochs=1,
        ),
    )
'''

ONE_AT_A_TIME = ("--cpus-per-trial", str(os.cpu_count()))
"""What is proposed depends on what is known by then: so it is the same at every run."""
