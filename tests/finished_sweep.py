"""A finished sweep's folder of any size, as `python -m dermtune.sweep` leaves it; its predictions are drawn."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.predictions import Predictions, write_predictions

HAM10000 = (1006, 167, 165, 77, 49, 26, 22)
"""Images of each class, the commonest first: a test set of HAM10000's size and imbalance."""


def write_sweep(
    folder: Path,
    gains: Mapping[str, float],
    *,
    seeds: Sequence[int] = range(5),
    sizes: Sequence[int] = HAM10000,
    whole: bool = False,
) -> Path:
    """The folder, in which each arm adds its gain to the logit of the true class; the first arm is the baseline.

    `whole` adds what only a full report reads: mirrored images, and a val of as many others.
    """
    trials = [
        {"trial_id": f"{number:03d}-{seed}", "arm": arm, "seed": seed}
        for seed in seeds
        for number, arm in enumerate(gains)
    ]
    for trial in trials:
        write_trial(folder / "trials" / trial["trial_id"], trial, gains, sizes=sizes, whole=whole)
    asked = {
        "format": 1,
        "sweep": "focal_ls",
        "question": "Does focal loss lift the long tail?",
        "baseline": next(iter(gains)),
        "primary_metric": "balanced_accuracy",
        "guard_metrics": ["top1"],
        "margin": 0.006,
        "arms": [{"arm": arm, "levers": {}} for arm in gains],
        "trials": trials,
    }
    (folder / "sweep.json").write_text(json.dumps(asked))
    return folder


def write_trial(
    folder: Path,
    trial: Mapping[str, str | int],
    gains: Mapping[str, float],
    *,
    sizes: Sequence[int],
    whole: bool = False,
) -> None:
    """The folder of a trial (its trial_id, arm and seed) that is done."""
    label = np.repeat(np.arange(len(sizes)), sizes)
    hard = np.random.default_rng(7).normal(0, 1.5, (len(label), len(sizes)))
    others = np.random.default_rng(8).normal(0, 1.5, hard.shape)
    test = _predictions(trial, "test", label, _logits(trial, label, hard, gains), mirrored=whole)
    val = [_predictions(trial, "val", label, _logits(trial, label, others, gains), mirrored=True)] * whole
    _write_trial(folder, [test, *val])


def long_tail(n_images: int, n_classes: int, rarest: int) -> list[int]:
    """Images of each class, falling geometrically to `rarest` and summing to `n_images`."""
    low, high = float(rarest), float(n_images)
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        total = np.geomspace(middle, rarest, n_classes).sum()
        low, high = (middle, high) if total < n_images else (low, middle)
    sizes = np.geomspace(low, rarest, n_classes).astype(int).tolist()
    return [sizes[0] + n_images - sum(sizes), *sizes[1:]]


def _logits(
    trial: Mapping[str, str | int], label: NDArray[np.int64], hard: NDArray[np.float64], gains: Mapping[str, float]
) -> NDArray[np.float32]:
    """How hard each image is, what the seed does to every arm, what is this run's alone, and the arm's gain."""
    shared = np.random.default_rng(trial["seed"]).normal(0, 0.1, hard.shape[1])
    own = np.random.default_rng(list(trial["trial_id"].encode())).normal(0, 0.4, hard.shape)
    truth = np.eye(hard.shape[1])[label]
    return (hard + shared + own + (1.2 + gains[trial["arm"]]) * truth).astype(np.float32)


def _predictions(
    trial: Mapping[str, str | int],
    split: str,
    label: NDArray[np.int64],
    logits: NDArray[np.float32],
    *,
    mirrored: bool,
) -> Predictions:
    images, here = list(enumerate(label)), "" if split == "test" else f"{split}-"
    view = np.random.default_rng(9).normal(0, 0.3, logits.shape).astype(np.float32)
    return Predictions(
        **trial,
        split=split,
        classes=tuple(f"class {k}" for k in range(logits.shape[1])),
        sample_id=np.array([f"{here}image{j:05d}" for j, _ in images]),
        group_id=np.array([f"{here}lesion{k}-{j // 6 * 5 + min(j % 6, 4):05d}" for j, k in images]),
        label=label.astype(np.int16),
        logits=logits,
        logits_hflip=logits + view if mirrored else None,
    )


def _write_trial(folder: Path, splits: Sequence[Predictions]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{predictions.split}.parquet" for predictions in splits]
    for file, predictions in zip(files, splits, strict=True):
        write_predictions(file, predictions)
    manifest = {
        "format": 1,
        "status": "done",
        "files": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
        "commit": "0f3c9a1",
        "device": "cpu",
        "seconds": 60.0,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
