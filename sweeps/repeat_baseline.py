"""How much does the same configuration vary from seed to seed: the noise floor that every gain must rise above?

Run:      python -m dermtune.sweep sweeps/repeat_baseline.py
Expected: a run-to-run standard deviation of about 0.6 points of balanced accuracy.
"""

from dermtune.plan import Sweep


def sweep() -> Sweep:
    """1 arm x 10 seeds."""
    return Sweep(
        name="repeat_baseline",
        grid={},  # the recipe as it is, with its own levers
        seeds=range(10),
    )
