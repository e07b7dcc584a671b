"""Images decoded and resized once a machine, into one memory-mapped array that all trials share."""

import hashlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dermtune.config import DataConfig, canonical_json
from dermtune.data.decoding import Pixels, UnreadableError, read_image, strict
from dermtune.data.manifest import DataError, Manifest
from dermtune.data.place import Place, Progress
from dermtune.durable import read_json, write_json

FORMAT = 1
"""Part of the cache's key; raised when the same settings come to give other pixels."""

_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedImages:
    """Every row of the metadata, decoded as far as it can be."""

    pixels: Pixels
    """A read-only memory map [N, H, W, 3]; black where a row's image cannot be read."""
    unreadable: Mapping[int, str]
    """Those rows, with the reason of each."""


def cached_images(
    manifest: Manifest, content: str, config: DataConfig, place: Place, progress: Progress
) -> CachedImages:
    """All images of the manifest, in its order; `content` is the fingerprint of their bytes.

    Built on the first call by one process, while others wait; written beside its place and renamed into it, so that
    it is there whole or not at all. What is there and is no such array is built anew.

    Raises DataError where the disk fails, UserError where the cache folder has no room.
    """
    path = place.cache_dir / f"images-{_key(content, config)}.npy"
    shape = (len(manifest.files), config.image_size, config.image_size, 3)
    images = _built(path, shape)
    if images is None:
        with place.alone(path.stem), place.writing():
            if _built(path, shape) is None:
                _build(path, manifest, config, progress)
        images = _built(path, shape)
    if images is None:
        raise DataError(f"{path}: must stay as it was written, somebody changed it")
    return images


def _key(fingerprint: str, config: DataConfig) -> str:
    settings = [FORMAT, fingerprint, config.image_size, config.fit, config.interpolation]
    return hashlib.sha256(canonical_json(settings).encode()).hexdigest()[:16]


def _built(path: Path, shape: tuple[int, ...]) -> CachedImages | None:
    """What an earlier build left; None where that is not there whole."""
    try:
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        unreadable = {int(row): str(why) for row, why in read_json(path.with_suffix(".json")).items()}
    except (OSError, ValueError, EOFError):
        return None
    if not isinstance(pixels, np.memmap) or (pixels.shape, pixels.dtype) != (shape, np.uint8):
        return None
    return CachedImages(pixels=pixels, unreadable=unreadable)


def _build(path: Path, manifest: Manifest, config: DataConfig, progress: Progress) -> None:
    """Write the array under another name and rename it; the caller holds the lock, so a leftover is nobody's."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        unreadable = _write(partial, manifest, config, progress)
        write_json(path.with_suffix(".json"), {str(row): why for row, why in unreadable.items()})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write(path: Path, manifest: Manifest, config: DataConfig, progress: Progress) -> dict[int, str]:
    """The rows that cannot be read, after all others are written.

    Image by image: a full disk is then an error, where a mapped file would kill the process.
    """
    shape = (len(manifest.files), config.image_size, config.image_size, 3)
    black, unreadable = bytes(np.prod(shape[1:])), {}
    with path.open("wb") as file, strict():
        np.lib.format.write_array_header_1_0(
            file,
            {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape},
        )
        for row, pixels in enumerate(_decoded(manifest, config)):
            if isinstance(pixels, str):
                unreadable[row] = pixels
            file.write(black if isinstance(pixels, str) else pixels.tobytes())
            if (row + 1) % _BATCH == 0 or row + 1 == shape[0]:
                progress("decoding images", row + 1, shape[0])
        file.flush()
        os.fsync(file.fileno())
    return unreadable


def _decoded(manifest: Manifest, config: DataConfig) -> Iterator[Pixels | str]:
    """Each image's pixels, or why there are none; decoded by threads (Pillow works outside Python's lock)."""

    def pixels_or_reason(name: str) -> Pixels | str:
        try:
            return read_image(manifest.data_dir / name, config)
        except UnreadableError as error:
            return str(error)
        except OSError as error:
            raise DataError(
                f"{manifest.data_dir / name}: must be read, which the machine cannot: {error.strerror}"
            ) from None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # In batches, so that decoded images do not pile up in memory while the disk is slower than the decoder.
        for batch in _batches(manifest.files):
            yield from pool.map(pixels_or_reason, batch)


def _batches(files: Sequence[str]) -> Iterator[Sequence[str]]:
    return (
        files[start : start + _BATCH]
        for start in itertools.takewhile(len(files).__gt__, itertools.count(0, _BATCH))
    )
