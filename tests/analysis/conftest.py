"""Studies drawn from a known truth."""

import numpy as np
import pytest

from analysis.metrics import outcome
from analysis.study import Arm, Question, Run, Study

CLASSES = ("nevus", "melanoma", "keratosis", "carcinoma", "dermatofibroma")
SIZES = (120, 60, 30, 12, 6)


def make_study(
    *,
    gains=(0.0, 0.0),
    seeds=(0, 1, 2, 3, 4),
    sizes=SIZES,
    groups=None,
    noise=0.3,
    rng_seed=0,
    guards=("top1",),
    margin=0.006,
):
    """A baseline and `len(gains)` arms whose logits for the true class are higher by their gain.

    Images differ in difficulty; `noise` is the run-to-run shift of a whole class.
    """
    rng = np.random.default_rng(rng_seed)
    k, label = len(sizes), np.repeat(np.arange(len(sizes)), sizes)
    n = len(label)
    images = rng.normal(0, 1.5, (n, k)) + 1.2 * np.eye(k)[label]
    arms = []
    for name, gain in zip(("baseline", *(f"arm{i}" for i in range(len(gains)))), (0.0, *gains), strict=True):
        runs = []
        for seed in seeds:
            logits = (
                images + rng.normal(0, 0.5, (n, k)) + rng.normal(0, noise, k)[None, :] + gain * np.eye(k)[label]
            )
            p = np.exp(logits - logits.max(axis=1, keepdims=True))
            runs.append(Run(seed=seed, outcome=outcome(label, p / p.sum(axis=1, keepdims=True))))
        arms.append(Arm(name=name, levers={}, runs=tuple(runs)))
    sample_id = np.array([f"img{j:05d}" for j in range(n)])
    return Study(
        question=Question(
            name="drawn",
            sentence="",
            baseline="baseline",
            arms={arm.name: {} for arm in arms},
            guard_metrics=guards,
            margin=margin,
        ),
        classes=tuple(f"class{i}" for i in range(k)) if k != len(CLASSES) else CLASSES,
        sample_id=sample_id,
        group_id=sample_id if groups is None else np.asarray(groups),
        label=label,
        arms=tuple(arms),
    )


@pytest.fixture(name="make_study")
def _make_study():
    return make_study
