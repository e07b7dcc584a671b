"""Does focal loss lift the long tail, and does label smoothing compose with it?

Run:      python -m dermtune.sweep sweeps/focal_ls.py
Expected: focal_gamma=2 above the baseline by about 1.1 points of balanced accuracy at no cost in top-1, and label
          smoothing 0.1 worth 0.4 points of top-1: what a team saw in single runs, with run-to-run noise of 0.6.
"""

from dermtune.plan import Sweep


def sweep() -> Sweep:
    """8 arms x 5 seeds."""
    return Sweep(
        name="focal_ls",
        grid={"focal_gamma": (0.0, 1.0, 2.0, 3.0), "label_smoothing": (0.0, 0.1)},
        baseline={"focal_gamma": 0.0, "label_smoothing": 0.0},
        seeds=range(5),
        primary_metric="balanced_accuracy",
        guard_metrics=("top1",),
        margin=0.006,
    )
