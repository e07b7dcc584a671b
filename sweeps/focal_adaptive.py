"""Does focal loss lift the long tail, paying only for the gammas that are still open?

Run:      python -m dermtune.sweep sweeps/focal_adaptive.py
Expected: a gamma that gains or loses 1.5 points or more is decided at 8 or 12 seeds and the sweep costs half of its
          160 trials or less; one of about 0.3 points stays open to the last look and keeps itself and the baseline
          to 20 seeds; seven unlike arms cost about two thirds.
"""

from dermtune.plan import Sweep


def sweep() -> Sweep:
    """8 arms x 20 seeds at most."""
    return Sweep(
        name="focal_adaptive",
        grid={"focal_gamma": (0.0, 1.0, 2.0, 3.0), "label_smoothing": (0.0, 0.1)},
        baseline={"focal_gamma": 0.0, "label_smoothing": 0.0},
        seeds=range(20),
        looks=(5, 8, 12, 20),
        repeats="adaptive",
        primary_metric="balanced_accuracy",
        guard_metrics=("top1",),
        margin=0.006,
    )
