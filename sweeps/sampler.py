"""What does drawing rare classes more often buy, what does it cost common ones, and does focal loss change that?

Run:      python -m dermtune.sweep sweeps/sampler.py
Expected: sampler_power=1 lifts rare classes and over-predicts them, and loses common ones (in the story eczema's
          recall fell from .718 to .237); the square root, 0.5, is the compromise.
"""

from dermtune.plan import Sweep


def sweep() -> Sweep:
    """6 arms x 5 seeds."""
    return Sweep(
        name="sampler",
        grid={"sampler_power": (0.0, 0.5, 1.0), "focal_gamma": (0.0, 2.0)},
        baseline={"sampler_power": 0.0, "focal_gamma": 0.0},
        seeds=range(5),
    )
