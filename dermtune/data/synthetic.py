"""The laptop recipe's lesion set: named classes with a long tail, an eczema sink, and labels that are partly wrong.

The pictures are drawn, so results on them rehearse a design and say nothing about patients. What is known here and
nowhere else is the truth: every label's true class stands beside it.
"""

import csv
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermtune.config import SyntheticConfig
from dermtune.data.drawing import Lesions, Look, grow, photograph
from dermtune.data.manifest import DataError
from dermtune.data.place import Place, Progress

ORIGIN = "synthetic.json"
"""File in the data folder that says what was drawn."""
IMBALANCE = 50
"""Images of the most common class over images of the rarest, in train and about so in test."""
MIN_PER_CLASS = 12
PHOTOGRAPHS = (1, 2, 3)
"""A lesion has one of these numbers of photographs, with equal chance."""
WRONG_LABELS: Mapping[str, float] = {"train": 0.08, "test": 0.12}
"""Share of lesions that carry another class's name."""
VARIATION = 0.27
"""How far lesions of a class differ from one another; 0 makes the classes separable."""
_BATCH = 250

Row = Mapping[str, str]
"""A row of a CSV file."""

_ECZEMA = Look(radius=0.58, irregularity=0.24, softness=0.2, redness=0.7, scale=0.25, spots=2, pigment=0.08)

CLASSES: Mapping[str, Look] = {
    "eczema": _ECZEMA,
    "melanocytic naevus": Look(radius=0.34, irregularity=0.08, softness=0.08, pigment=0.9, variegation=0.15),
    "acne": Look(radius=0.7, softness=0.6, redness=0.15, spots=9, spot_size=0.13, spread=0.8, pus=0.6),
    "psoriasis": replace(_ECZEMA, irregularity=0.16, softness=0.07, redness=0.85, scale=0.8, spots=0),
    "seborrhoeic keratosis": Look(radius=0.48, irregularity=0.12, softness=0.05, pigment=0.5, scale=0.5),
    "PIH": Look(radius=0.6, irregularity=0.22, softness=0.25, redness=0.12, pigment=0.45, variegation=0.25),
    "rosacea": replace(_ECZEMA, radius=0.95, softness=0.5, redness=0.6, scale=0.03, spots=5, pus=0.2),
    "tinea": replace(_ECZEMA, radius=0.72, irregularity=0.12, softness=0.1, ring=0.95, spots=0),
    "herpes": replace(_ECZEMA, radius=0.42, redness=0.9, scale=0.0, spots=11, spot_size=0.15, spread=0.4, pus=1.0),
    "melanoma": Look(radius=0.62, irregularity=0.32, softness=0.08, pigment=1.4, variegation=0.7, redness=0.3),
}
"""What each class typically looks like, from the most common to the rarest."""

LOOK_ALIKES: Sequence[frozenset[str]] = (
    frozenset({"eczema", "psoriasis", "tinea", "rosacea", "herpes", "PIH"}),
    frozenset({"acne", "rosacea", "herpes"}),
    frozenset({"melanocytic naevus", "seborrhoeic keratosis", "melanoma"}),
)
"""Classes that are taken for one another, by eye and so by label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionTable:
    """One split's lesions, before any is drawn."""

    true_label: NDArray[np.intp]
    """Index into CLASSES, [L]."""
    label: NDArray[np.intp]
    """What the label says, [L]."""
    photographs: NDArray[np.intp]
    """Number of photographs, [L]."""


def draw_if_absent(config: SyntheticConfig, metadata: str, place: Place, progress: Progress) -> None:
    """Draw the set into the data folder where that has no metadata file; the folder appears whole or not at all.

    Raises DataError where the folder holds another synthetic set, or files that are no data set.
    """
    folder = place.data_dir
    with place.alone("synthetic"):
        if not (folder / metadata).exists():
            if folder.is_dir() and any(folder.iterdir()):
                raise DataError(f"{folder}: must hold {metadata}, or be empty so that a set can be drawn there")
            _draw_beside(config, metadata, folder, progress)
    _refuse_other_set(config, folder)


def lesion_table(n_images: int, wrong: float, rng: np.random.Generator) -> LesionTable:
    """Lesions of all classes whose photographs number `n_images`, a share `wrong` of them under another name."""
    per_class = class_counts(n_images)
    photographs = [_photographs(count, rng) for count in per_class]
    truth = np.repeat(np.arange(len(CLASSES)), [len(of_class) for of_class in photographs])
    return LesionTable(
        true_label=truth, label=_mislabelled(truth, wrong, per_class, rng), photographs=np.concatenate(photographs)
    )


def class_counts(n_images: int) -> NDArray[np.intp]:
    """Images of each class, summing to `n_images`: a geometric fall from first to last by IMBALANCE, [K]."""
    shares = IMBALANCE ** -np.linspace(0, 1, len(CLASSES))
    counts = np.maximum(np.round(shares / shares.sum() * n_images), min(MIN_PER_CLASS, n_images // 30))
    counts[0] += n_images - counts.sum()
    return np.asarray(counts, dtype=np.intp)


def _photographs(n_images: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Photographs of each lesion of a class, summing to `n_images`."""
    until = np.cumsum(rng.choice(PHOTOGRAPHS, n_images))
    n_lesions = int(np.searchsorted(until, n_images)) + 1
    return np.asarray(np.diff(np.minimum(until[:n_lesions], n_images), prepend=0), dtype=np.intp)


def _mislabelled(
    truth: NDArray[np.intp], wrong: float, per_class: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.intp]:
    """The labels that lesions carry: a wrong one is a look-alike's nine times in ten, a common class's more often.

    Drawn in proportion to the classes' frequencies, wrong labels leave the long tail as long as it is. The first
    lesion of each class keeps its name, so that no class disappears.
    """
    label = truth.copy()
    candidates = np.setdiff1d(np.arange(len(truth)), np.unique(truth, return_index=True)[1])
    chosen = rng.choice(candidates, round(wrong * len(truth)), replace=False)
    for lesion in chosen:
        alike = per_class * _look_alike(truth[lesion])
        other = per_class * (np.arange(len(CLASSES)) != truth[lesion])
        label[lesion] = rng.choice(len(CLASSES), p=0.9 * alike / alike.sum() + 0.1 * other / other.sum())
    return label


def _look_alike(index: int) -> NDArray[np.bool_]:
    """Which classes are taken for this one, itself not among them, [K]."""
    names = list(CLASSES)
    alike = frozenset().union(*(family for family in LOOK_ALIKES if names[index] in family)) - {names[index]}
    return np.array([name in alike for name in names])


def _draw_beside(config: SyntheticConfig, metadata: str, folder: Path, progress: Progress) -> None:
    """Draw into a neighbour of the data folder, then rename it into place."""
    partial = folder.with_name(f".{folder.name}.{platform.node()}-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _draw(config, partial, metadata, progress)
        partial.rename(folder)
    except OSError as error:
        # A machine that shares this folder but not the cache, and so not the lock, may have been faster.
        if not (folder / metadata).exists():
            raise DataError(f"{folder}: must be writable for the synthetic set: {error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _draw(config: SyntheticConfig, folder: Path, metadata: str, progress: Progress) -> None:
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(config.seed)
    rows: list[Row] = []
    for split, n_images in (("train", config.n_train), ("test", config.n_test)):
        table = lesion_table(n_images, WRONG_LABELS[split], rng)
        for batch, images in _photographed(table, config.image_size, rng):
            new = [_row(split, table, lesion, len(rows) + i) for i, lesion in enumerate(batch)]
            _save(folder / "images", new, images)
            rows += new
            progress("drawing lesions", len(rows), config.n_train + config.n_test)
    _write_csv(folder / metadata, rows)
    cleaned = [{"sample_id": row["image_id"], "label": row["true_label"]} for row in rows if row["split"] == "test"]
    _write_csv(folder / "cleaned_labels.csv", cleaned)
    (folder / ORIGIN).write_text(json.dumps(asdict(config)))


def _photographed(
    table: LesionTable, size: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
    """Batches of photographs in random order: the lesion of each, [B], and its pixels, [B, size, size, 3]."""
    lesions = _grown(table, rng)
    shuffled = rng.permutation(np.repeat(np.arange(len(table.label)), table.photographs))
    for batch in np.split(shuffled, range(_BATCH, len(shuffled), _BATCH)):
        yield batch, photograph(lesions.take(batch), size, rng)


def _grown(table: LesionTable, rng: np.random.Generator) -> Lesions:
    """The lesions of all classes, in the table's order: its classes stand one after the other."""
    counts = np.bincount(table.true_label, minlength=len(CLASSES)).tolist()
    return Lesions.joined([grow(look, n, VARIATION, rng) for look, n in zip(CLASSES.values(), counts, strict=True)])


def _row(split: str, table: LesionTable, lesion: int, number: int) -> Row:
    names = list(CLASSES)
    return {
        "image_id": f"S{number:06d}",
        "lesion_id": f"{split}-{lesion:05d}",
        "label": names[table.label[lesion]],
        "true_label": names[table.true_label[lesion]],
        "split": split,
    }


def _save(folder: Path, rows: Iterable[Row], images: NDArray[np.uint8]) -> None:
    for row, image in zip(rows, images, strict=True):
        Image.fromarray(image).save(folder / f"{row['image_id']}.png", compress_level=1)


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _refuse_other_set(config: SyntheticConfig, data_dir: Path) -> None:
    """A set drawn with other settings must not pass for this one; data of the user's own are left alone."""
    origin = data_dir / ORIGIN
    if origin.exists() and (drawn := json.loads(origin.read_text())) != asdict(config):
        raise DataError(
            f"{data_dir}: must hold the synthetic set {asdict(config)}, got {drawn}; use another folder"
        )
