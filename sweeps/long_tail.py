"""Which of the remedies for a long tail beats focal loss?

Run:      python -m dermtune.sweep sweeps/long_tail.py
Expected: on CIFAR100-LT, in single runs, balanced softmax (logit_adjustment=1) and LDAM-DRW lead focal loss by more
          than 5 points, mixup by 3.6, and focal loss does not beat plain cross-entropy; what spends no top-1 is
          worth more than what buys rare classes with common ones.

The verdicts are against plain cross-entropy; those against focal loss are asked for when it is done:
python -m analysis.significance runs/long_tail-laptop --baseline focal_gamma=2
"""

from dermtune.plan import Sweep


def sweep() -> Sweep:
    """11 arms x 5 seeds."""
    return Sweep(
        name="long_tail",
        arms={
            "focal_gamma=2": {"focal_gamma": 2.0},  # Lin et al. 2017
            "label_smoothing=0.1": {"label_smoothing": 0.1},
            "logit_adjustment=1": {"logit_adjustment": 1.0},  # Menon et al. 2021, Ren et al. 2020
            "sampler_power=0.5": {"sampler_power": 0.5},  # Kang et al. 2020
            "progressive": {"sampler_power": 1.0, "sampler_schedule": "progressive"},  # the same
            "effective_number": {"effective_number": 0.9999},  # Cui et al. 2019, as on their CIFAR-10
            "ldam_drw": {"ldam": 0.5, "effective_number": 0.9999, "drw": 0.8},  # Cao et al. 2019
            "mixup=0.2": {"mixup": 0.2},  # Zhang et al. 2018, as on their ImageNet
            "mixup=1": {"mixup": 1.0},  # the same, as on their CIFAR
            "ema": {"ema": 0.999},
        },
        baseline={
            "focal_gamma": 0.0,
            "label_smoothing": 0.0,
            "logit_adjustment": 0.0,
            "sampler_power": 0.0,
            "sampler_schedule": "constant",
            "effective_number": 0.0,
            "ldam": 0.0,
            "drw": 0.0,
            "mixup": 0.0,
            "ema": 0.0,
        },
        seeds=range(5),
        primary_metric="balanced_accuracy",
        guard_metrics=("top1",),
        margin=0.006,
    )
