"""What a frozen backbone makes of every image in every view: computed once a machine, then mapped by all trials."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermtune.config import Config, TrainingConfig, canonical_json
from dermtune.data.dataset import Dataset, Split
from dermtune.data.manifest import DataError
from dermtune.data.place import Place, Progress
from dermtune.device import device_name, in_bfloat16, reproducible
from dermtune.frozen.backbone import Backbone, Head, identity, starting_model
from dermtune.frozen.headfile import read_head, write_head
from dermtune.origin import origin
from dermtune.pixels import pipeline_for
from dermtune.plan import Trial

FORMAT = 1
"""Part of the key; raised when the same settings come to give other features."""

SPLITS = ("train", "val", "test")

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An image as it is, or mirrored."""

    hflip: bool = False
    """Left-right."""
    vflip: bool = False
    """Top-bottom."""

    @property
    def name(self) -> str:
        """What it is called in a file's name."""
        return {(0, 0): "original", (1, 0): "hflip", (0, 1): "vflip", (1, 1): "both"}[self.hflip, self.vflip]

    def of(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] in this view."""
        dims = [dim for dim, mirrored in ((3, self.hflip), (2, self.vflip)) if mirrored]
        return pixels.flip(dims) if dims else pixels


ORIGINAL, MIRRORED = View(), View(hflip=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Memory maps of float32 [N, D], what the head takes of each image."""

    key: str
    """Hash of all that can change them."""
    train: Mapping[View, Floats]
    """In each view that the augmentation may give."""
    val: Mapping[View, Floats]
    """As they are, and mirrored left-right."""
    test: Mapping[View, Floats]
    """The same."""


def views(training: TrainingConfig, split: str) -> tuple[View, ...]:
    """The views of a split that a trial can ask for."""
    if split != "train":
        return ORIGINAL, MIRRORED
    return tuple(
        View(hflip=hflip, vflip=vflip)
        for vflip in (False, True)[: 1 + training.vflip]
        for hflip in (False, True)[: 1 + training.hflip]
    )


def feature_key(config: Config, seed: int, data: Dataset, fingerprints: Mapping[str, str], threads: int) -> str:
    """Hash of all that can change a feature: data, weights, preprocessing, precision, device and programs.

    Raises Unfit where nothing says which weights the checkpoint has.
    """
    settings, training = config.data, config.training
    versions: Mapping[str, Any] = origin()["versions"]
    about = [
        FORMAT,
        data.fingerprint,
        [hashlib.sha256("\n".join(getattr(data, split).sample_id).encode()).hexdigest() for split in SPLITS],
        [settings.image_size, settings.fit, settings.interpolation],
        [config.model.pixel_mean, config.model.pixel_std],
        identity(config.model, seed, data.classes, fingerprints),
        ["bfloat16" if in_bfloat16(training) else "float32", training.channels_last, training.eval_batch_size],
        [device_name(), threads, versions["torch"], versions["transformers"]],
        *([training.attention, training.compile] if training.attention != "auto" or training.compile else []),
    ]
    return hashlib.sha256(canonical_json(about).encode()).hexdigest()[:16]


class FeatureCache:
    """Features and starting heads of one key, on this machine."""

    def __init__(self, trial: Trial, data: Dataset, place: Place, threads: int) -> None:
        """What this trial and all that share its features need. Raises Unfit, ModelError."""
        self.key = feature_key(trial.config, trial.seed, data, trial.fingerprints, threads)
        self._trial = trial
        self._data = data
        self._place = place
        self._threads = threads

    def features(self, progress: Progress) -> Features:
        """The features that heads train and are judged on, built by the first process that needs them.

        Written beside their place and renamed into it, so that they are there whole or not at all; what is there
        and is no such array is built anew.

        Raises Unfit where the model's features cannot be kept, ModelError, and UserError where there is no room.
        """
        if (found := self._mapped()) is None:
            with self._place.alone(f"features-{self.key}"), self._place.writing():
                self._build_missing(progress)
            found = self._mapped()
        if found is None:
            raise DataError(
                f"{self._place.cache_dir}: features must stay as they were written, somebody changed them"
            )
        return found

    def starting_head(self, seed: int) -> Head:
        """The head that a seed draws, as in a model built for it; kept, for large models are slow to build."""
        path = self._head_file(seed)
        if (head := read_head(path, len(self._data.classes))) is None:
            with reproducible(seed, self._threads):
                head = Backbone(starting_model(self._trial.config, self._data.classes)).head()
            with self._place.alone(path.stem), self._place.writing():
                write_head(path, head)
        return head

    def _file(self, split: str, view: View) -> Path:
        return self._place.cache_dir / f"features-{self.key}-{split}-{view.name}.npy"

    def _head_file(self, seed: int) -> Path:
        return self._place.cache_dir / f"head-{self.key}-{seed}.safetensors"

    def _wanted(self) -> Iterator[tuple[str, View]]:
        return ((split, view) for split in SPLITS for view in views(self._trial.config.training, split))

    def _read(self, split: str, view: View) -> Floats | None:
        return _read(self._file(split, view), len(getattr(self._data, split)))

    def _mapped(self) -> Features | None:
        """All that a trial needs; None where a part is not there whole."""
        found: dict[str, dict[View, Floats]] = {split: {} for split in SPLITS}
        for split, view in self._wanted():
            if (features := self._read(split, view)) is None:
                return None
            found[split][view] = features
        return Features(key=self.key, train=found["train"], val=found["val"], test=found["test"])

    def _build_missing(self, progress: Progress) -> None:
        """Compute what is not there; the caller holds the lock, so a leftover is nobody's."""
        missing = [(split, view) for split, view in self._wanted() if self._read(split, view) is None]
        if not missing:
            return
        trial, data = self._trial, self._data
        with reproducible(trial.seed, self._threads):
            backbone = Backbone(starting_model(trial.config, data.classes))
            write_head(self._head_file(trial.seed), backbone.head())
            passes = _Passes(trial.config, trial.seed, backbone)
            passes.check(data.train)
            count = _counted(progress, sum(len(getattr(data, split)) for split, _ in missing))
            for split, view in missing:
                _write(self._file(split, view), getattr(data, split), view, passes, count)


def _read(path: Path, n: int) -> Floats | None:
    """A file's features; None where it holds no such array."""
    try:
        # Copy on write: nothing writes, but torch warns of a map that cannot be written.
        features = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    good = isinstance(features, np.memmap) and features.dtype == np.float32 and features.ndim == 2
    return features if good and len(features) == n else None


def _counted(progress: Progress, total: int) -> Callable[[int], None]:
    """What is called with the images of each batch."""
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        progress("computing features", done, total)

    return count


def _write(path: Path, split: Split, view: View, passes: "_Passes", count: Callable[[int], None]) -> None:
    """Write the array under another name and rename it. Batch by batch: a full disk is then an error."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            for start, features in passes.over(split, view):
                if start == 0:
                    shape = (len(split), features.shape[1])
                    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False}
                    np.lib.format.write_array_header_1_0(file, {**header, "shape": shape})
                file.write(features.tobytes())
                count(len(features))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class _Passes:
    """Forward passes over a split, as the Trainer's evaluation makes them."""

    def __init__(self, config: Config, seed: int, backbone: Backbone) -> None:
        self._backbone = backbone
        self._pixels = pipeline_for(config.model, config.training, seed)
        self._size = config.training.eval_batch_size
        self._bfloat16 = in_bfloat16(config.training)

    def over(self, split: Split, view: View) -> Iterator[tuple[int, Floats]]:
        """Position of each batch's first image, and the batch's features [B, D]."""
        for start in range(0, len(split), self._size):
            pixels = self._normalised(split, start, self._size)
            yield (
                start,
                np.ascontiguousarray(self._backbone.features(view.of(pixels), self._bfloat16).cpu().numpy()),
            )

    def check(self, split: Split) -> None:
        """Raises Unfit where the features of a few images differ in training and in evaluation."""
        self._backbone.check(self._normalised(split, 0, 8), self._bfloat16)

    def _normalised(self, split: Split, start: int, n: int) -> Tensor:
        images = split.images[np.arange(start, min(start + n, len(split)))]
        return self._pixels.normalise(torch.from_numpy(images).to(self._backbone.device))


class Spoken:
    """A progress callback that says in a clause how far it is: when it begins, and then once in half a minute."""

    SECONDS = 30.0

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said_at: float | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say it, or not."""
        now = time.monotonic()
        if self._said_at is None or now - self._said_at >= self.SECONDS:
            self._said_at = now
            self._say(f"is {what} for all trials that share them: {done:,} of {total:,} forward passes")
