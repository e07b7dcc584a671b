"""The door to the data: `prepare` in the driver, `open_dataset` in every process that trains."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermtune.config import DataConfig
from dermtune.data.cache import Pixels, cached_images
from dermtune.data.manifest import Manifest, fingerprint, read_manifest
from dermtune.data.place import Place, Progress, no_progress
from dermtune.data.splits import with_val
from dermtune.data.synthetic import draw_if_absent


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRows:
    """Some rows of the shared cache, read only as far as they are asked for."""

    pixels: Pixels
    """The whole cache, memory-mapped, [M, H, W, 3]."""
    rows: NDArray[np.intp]
    """This split's rows in it, [N]."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: NDArray[np.intp]) -> Pixels:
        """The images at these positions of the split, copied into memory, [B, H, W, 3]."""
        return np.asarray(self.pixels[self.rows[indices]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The images of train, val or test, in the metadata's order."""

    sample_id: NDArray[np.str_]
    """The image's name, [N]; unique over all splits."""
    group_id: NDArray[np.str_]
    """Lesion, patient or case, [N]; in no other split."""
    label: NDArray[np.int64]
    """Index into the dataset's classes, [N]."""
    images: ImageRows
    """Indexed by an array of positions; gives uint8 [B, H, W, 3]."""

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Everything that a trial trains and is judged on."""

    classes: tuple[str, ...]
    """Class names in alphabetical order; a label is an index into them."""
    train: Split
    val: Split
    test: Split
    fingerprint: str
    """Hash of the metadata's and all images' bytes."""


def prepare(config: DataConfig, place: Place, progress: Progress | None = None) -> str:
    """The data's fingerprint, after the synthetic set is drawn where one is asked for and the metadata are checked.

    Raises DataError for all that would stop a trial but images that cannot be decoded: `open_dataset` finds those.
    """
    return fingerprint(_manifest(config, place, progress or no_progress), place, progress or no_progress)


def open_dataset(config: DataConfig, place: Place, progress: Progress | None = None) -> Dataset:
    """Train, val and test over one memory-mapped cache, which the first process to need it builds.

    Raises DataError for metadata or images that cannot be trained on.
    """
    report = progress or no_progress
    manifest = _manifest(config, place, report)
    identity = fingerprint(manifest, place, report)
    pixels = cached_images(manifest, identity, config, place, report)
    return Dataset(
        classes=manifest.classes,
        train=_split(manifest, pixels, "train"),
        val=_split(manifest, pixels, "val"),
        test=_split(manifest, pixels, "test"),
        fingerprint=identity,
    )


def _manifest(config: DataConfig, place: Place, progress: Progress) -> Manifest:
    if config.synthetic is not None:
        draw_if_absent(config.synthetic, config.metadata, place, progress)
    return with_val(read_manifest(config, place.data_dir), config.val_fraction, config.split_seed)


def _split(manifest: Manifest, pixels: Pixels, name: str) -> Split:
    rows = np.flatnonzero(manifest.split == name)
    return Split(
        sample_id=manifest.sample_id[rows],
        group_id=manifest.group_id[rows],
        label=manifest.label[rows],
        images=ImageRows(pixels=pixels, rows=rows),
    )
