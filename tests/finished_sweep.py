"""A finished sweep's folder of any size, its predictions drawn from a known truth."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.predictions import Predictions, write_predictions

QUESTION = "Which of these arms beats the baseline?"


def write_sweep(
    folder: Path, gains: Mapping[str, float], *, n_seeds: int, sizes: Sequence[int], runs_differ: float = 0.3
) -> Path:
    """The folder, in which each arm's logits of the true class are higher by its gain; the first is the baseline.

    Images differ in difficulty, for all runs alike; `runs_differ` is the standard deviation of what one run adds to
    the logits of a whole class. The runs of one seed share that, so arms with the same gain predict the same.
    """
    label = np.repeat(np.arange(len(sizes)), sizes)
    images = np.random.default_rng(0).normal(0, 1.5, (len(label), len(sizes)))
    trials = []
    for seed in range(n_seeds):
        rng = np.random.default_rng([1, seed])
        base = images + rng.normal(0, 0.5, images.shape) + rng.normal(0, runs_differ, len(sizes))
        for arm, gain in gains.items():
            trial = {"trial_id": f"{len(trials):05d}", "arm": arm, "seed": seed}
            trials.append(trial)
            _write_trial(folder / "trials", trial, label, base + (2.5 + gain) * np.eye(len(sizes))[label])
    asked = {
        "format": 1,
        "sweep": folder.name,
        "question": QUESTION,
        "baseline": next(iter(gains)),
        "primary_metric": "balanced_accuracy",
        "guard_metrics": ["top1"],
        "margin": 0.006,
        "arms": [{"arm": arm, "levers": {"gain": gain}} for arm, gain in gains.items()],
        "trials": trials,
    }
    (folder / "sweep.json").write_text(json.dumps(asked))
    return folder


def long_tail(n_images: int, n_classes: int, rarest: int) -> list[int]:
    """Images of each class, falling geometrically to `rarest` and summing to `n_images`."""
    low, high = 1.0, float(n_images)
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        total = np.geomspace(middle, rarest, n_classes).sum()
        low, high = (middle, high) if total < n_images else (low, middle)
    sizes = np.geomspace(low, rarest, n_classes).astype(int).tolist()
    return [sizes[0] + n_images - sum(sizes), *sizes[1:]]


def _write_trial(trials: Path, trial: Mapping[str, object], label: NDArray[np.int64], logits: NDArray[np.float64]):
    folder = trials / str(trial["trial_id"])
    folder.mkdir(parents=True)
    file = folder / "test.parquet"
    order = np.arange(len(label))
    predictions = Predictions(
        arm=str(trial["arm"]),
        seed=int(str(trial["seed"])),
        split="test",
        trial_id=str(trial["trial_id"]),
        classes=tuple(f"class {k}" for k in range(logits.shape[1])),
        sample_id=np.array([f"image{j:05d}" for j in order]),
        group_id=np.array(
            [f"lesion{k}-{j // 4 * 3 + min(j % 4, 2):05d}" for j, k in zip(order, label, strict=True)]
        ),
        label=label.astype(np.int16),
        logits=logits.astype(np.float32),
    )
    write_predictions(file, predictions)
    sealed = {"test.parquet": hashlib.sha256(file.read_bytes()).hexdigest()}
    manifest = {"format": 1, "status": "done", "files": sealed, "seconds": 900.0, "commit": "0f3c9a1"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
