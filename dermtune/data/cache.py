"""Images decoded and resized once a machine, into one memory-mapped array that all trials share."""

import hashlib
import itertools
import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dermtune.config import DataConfig, canonical_json
from dermtune.data.manifest import Manifest, refuse_files
from dermtune.data.place import Place, Progress

FORMAT = 1
"""Part of the cache's key; raised when the same settings come to give other pixels."""

Pixels = NDArray[np.uint8]

_BATCH = 256
_DECODE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises on bytes that are no whole image."""
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def cached_images(
    manifest: Manifest, fingerprint: str, config: DataConfig, place: Place, progress: Progress
) -> Pixels:
    """All images of the manifest, in its order, as a read-only memory map [N, H, W, 3].

    Built on the first call by one process, while others wait; written beside its place and renamed into it, so that
    it is there whole or not at all.

    Raises DataError with the count and first names of files that cannot be decoded, UserError where the cache
    folder has no room.
    """
    path = place.cache_dir / f"images-{_key(fingerprint, config)}.npy"
    if not path.exists():
        with place.alone(path.stem), place.writing():
            if not path.exists():
                _build(path, manifest, config, progress)
    images: Pixels = np.load(path, mmap_mode="r")
    return images


def decode(source: Path | BinaryIO, config: DataConfig) -> Pixels:
    """One image upright, in RGB, as a square of `config.image_size` pixels, [H, W, 3]; always antialiased.

    Raises one of Pillow's errors where the file is no whole image of 8 bits a channel.
    """
    with Image.open(source) as file:
        if file.mode.startswith(("I", "F")):
            raise ValueError(f"must have 8 bits a channel, got mode {file.mode}")
        image = ImageOps.exif_transpose(file).convert("RGB")
    if config.fit == "pad":
        image = _padded(image)
    side = config.image_size
    return np.asarray(image.resize((side, side), _FILTERS[config.interpolation]), dtype=np.uint8)


def _key(fingerprint: str, config: DataConfig) -> str:
    settings = [FORMAT, fingerprint, config.image_size, config.fit, config.interpolation]
    return hashlib.sha256(canonical_json(settings).encode()).hexdigest()[:16]


def _build(path: Path, manifest: Manifest, config: DataConfig, progress: Progress) -> None:
    """Write the array under another name and rename it; the caller holds the lock, so a leftover is nobody's."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        _write(partial, manifest, config, progress)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write(path: Path, manifest: Manifest, config: DataConfig, progress: Progress) -> None:
    """Image by image: a full disk is then an error, where a mapped file would kill the process."""
    shape = (len(manifest.files), config.image_size, config.image_size, 3)
    unreadable = []
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file,
            {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape},
        )
        for done, pixels in enumerate(_decoded(manifest, config), start=1):
            if isinstance(pixels, str):
                unreadable.append(f"{manifest.files[done - 1]} ({pixels})")
            else:
                file.write(pixels.tobytes())
            if done % _BATCH == 0 or done == shape[0]:
                progress("decoding images", done, shape[0])
        file.flush()
        os.fsync(file.fileno())
    refuse_files(unreadable, manifest.data_dir, "images must be readable and whole")


def _decoded(manifest: Manifest, config: DataConfig) -> Iterator[Pixels | str]:
    """Each image's pixels, or why there are none; decoded by threads (Pillow works outside Python's lock)."""

    def pixels_or_reason(name: str) -> Pixels | str:
        try:
            return decode(manifest.data_dir / name, config)
        except _DECODE_ERRORS as error:
            return _reason(manifest.data_dir / name, error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # In batches, so that decoded images do not pile up in memory while the disk is slower than the decoder.
        for batch in _batches(manifest.files):
            yield from pool.map(pixels_or_reason, batch)


def _batches(files: Sequence[str]) -> Iterator[Sequence[str]]:
    return (
        files[start : start + _BATCH]
        for start in itertools.takewhile(len(files).__gt__, itertools.count(0, _BATCH))
    )


def _reason(path: Path, error: Exception) -> str:
    if not path.exists():
        return "missing"
    if path.stat().st_size == 0:
        return "0 bytes"
    return str(error).replace(str(path), path.name)


def _padded(image: Image.Image) -> Image.Image:
    side = max(image.size)
    canvas = Image.new("RGB", (side, side))
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return canvas
