"""Which setting of loss, sampler and learning rate lifts the long tail most, and does its lead outlast the search?

Run:      python -m dermtune.sweep sweeps/search_focal.py
Expected: the best of 40 points 1 to 3 points of balanced accuracy above the baseline on val, a part of which is the
          luck of the best of many and is gone on test with fresh seeds; logit_adjustment and learning_rate_factor
          weigh more than label_smoothing.
"""

from optuna.distributions import FloatDistribution

from dermtune.plan import Search, Sweep


def sweep() -> Sweep:
    """40 points with one seed, of which the best 3 go on: 4 arms x 5 seeds."""
    return Sweep(
        name="search_focal",
        baseline={
            "focal_gamma": 0.0,
            "label_smoothing": 0.0,
            "sampler_power": 0.0,
            "logit_adjustment": 0.0,
            "learning_rate_factor": 1.0,
        },
        first=Search(
            space={
                "focal_gamma": FloatDistribution(0.0, 5.0),
                "label_smoothing": FloatDistribution(0.0, 0.3),
                "sampler_power": FloatDistribution(0.0, 1.0),
                "logit_adjustment": FloatDistribution(0.0, 2.0),
                "learning_rate_factor": FloatDistribution(0.1, 10.0, log=True),
            },
            n_points=40,
            confirm=3,
        ),
        seeds=range(5),
        primary_metric="balanced_accuracy",
        guard_metrics=("top1",),
        margin=0.006,
    )
