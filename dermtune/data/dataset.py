"""The door to the data: `open_dataset`, in the driver and in every process that trains."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermtune.config import DataConfig
from dermtune.data.cache import CachedImages, cached_images
from dermtune.data.decoding import Pixels
from dermtune.data.manifest import Manifest, fingerprint, read_manifest
from dermtune.data.place import Place, Progress, no_progress
from dermtune.data.quarantine import Quarantine, identity, quarantine, without
from dermtune.data.splits import refuse_shared_groups, with_val
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
    """Hash of the metadata's and all images' bytes, and of the names of those that are left out."""
    quarantine: Quarantine
    """Images of the metadata that are in no split, because they cannot be read."""


def open_dataset(config: DataConfig, place: Place, progress: Progress | None = None) -> Dataset:
    """Train, val and test over one memory-mapped cache, which the first process to need it builds.

    Images that cannot be read are left out, as many as the config allows; where val is cut from train, it is cut
    from those that can. The synthetic set is drawn where one is asked for and there is none.

    Raises DataError for metadata or images that cannot be trained on.
    """
    report = progress or no_progress
    manifest = _manifest(config, place, report)
    whole = with_val(manifest, config.val_fraction, config.split_seed)  # what it refuses needs no image decoded
    content = fingerprint(manifest, place, report)
    images = cached_images(manifest, content, config, place, report)
    left_out = quarantine(manifest, images.unreadable)
    if left_out.images:
        left_out.refuse_above(config, place.data_dir)
        whole = with_val(without(manifest, left_out), config.val_fraction, config.split_seed)
    return Dataset(
        classes=whole.classes,
        train=_split(whole, images, "train"),
        val=_split(whole, images, "val"),
        test=_split(whole, images, "test"),
        fingerprint=identity(content, left_out),
        quarantine=left_out,
    )


def _manifest(config: DataConfig, place: Place, progress: Progress) -> Manifest:
    if config.synthetic is not None:
        draw_if_absent(config.synthetic, config.metadata, place, progress)
    manifest = read_manifest(config, place.data_dir)
    refuse_shared_groups(manifest)
    return manifest


def _split(manifest: Manifest, images: CachedImages, name: str) -> Split:
    rows = np.flatnonzero(manifest.split == name)
    return Split(
        sample_id=manifest.sample_id[rows],
        group_id=manifest.group_id[rows],
        label=manifest.label[rows],
        images=ImageRows(pixels=images.pixels, rows=rows),
    )
