"""Which of focal loss, label smoothing and sampler matter, and which of them compose, over all cells at once?

Run:      python -m dermtune.sweep sweeps/full_grid.py
Expected: the sampler's main effect is seen first: each of its levels is replicated over all cells of the others, so
          few seeds a cell suffice.
"""

from dermtune.plan import Sweep


def sweep() -> Sweep:
    """18 arms x 3 seeds."""
    return Sweep(
        name="full_grid",
        grid={
            "focal_gamma": (0.0, 1.0, 2.0),
            "label_smoothing": (0.0, 0.1),
            "sampler_power": (0.0, 0.5, 1.0),
        },
        baseline={"focal_gamma": 0.0, "label_smoothing": 0.0, "sampler_power": 0.0},
        seeds=range(3),
    )
