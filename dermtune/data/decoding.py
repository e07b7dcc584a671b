"""One image file as pixels, or why there are none; no file can start a program or fill the memory."""

import contextlib
import errno
import stat
import warnings
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dermtune.config import DataConfig

Pixels = NDArray[np.uint8]

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What a file may be taken for. Pillow knows others, one of which (EPS) starts Ghostscript on the file."""
MAX_PIXELS = 89_478_485
"""Of an image once it is decoded: Pillow's own limit, from which on it speaks of decompression bombs."""
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP})
_NOT_THERE |= {errno.ENAMETOOLONG}
"""Errors that speak of this file. Any other (the disk, the number of open files) says nothing about the image."""
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class UnreadableError(ValueError):
    """A file that is no whole image; the message says why, in a clause."""


def opened(path: Path) -> BufferedReader:
    """The file, open for reading.

    Raises UnreadableError where there is no regular file that this process may read, another OSError where the
    trouble is not the file's.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise UnreadableError("no regular file")  # a pipe would be waited for, a device has no end
        return path.open("rb")
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        raise UnreadableError("missing" if error.errno == errno.ENOENT else str(error.strerror)) from None


def read_image(path: Path, config: DataConfig) -> Pixels:
    """The file's image, as `decode` gives it. Raises as `opened` does, and UnreadableError for bad content."""
    with opened(path) as file:
        if not path.stat().st_size:
            raise UnreadableError("0 bytes")
        try:
            return decode(file, config)
        except UnidentifiedImageError:
            raise UnreadableError("no image in a format that is read") from None
        except MemoryError:
            raise
        except Exception as error:  # what Pillow raises on bad bytes is nowhere listed
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's: Pillow's own have no number
            raise UnreadableError(" ".join(str(error).split()) or type(error).__name__) from None


def decode(source: Path | BinaryIO, config: DataConfig) -> Pixels:
    """One image upright, in RGB, as a square of `config.image_size` pixels, [H, W, 3]; always antialiased.

    Raises one of Pillow's errors where the file is no whole image of 8 bits a channel.
    """
    with Image.open(source, formats=FORMATS) as file:
        if file.mode.startswith(("I", "F")):
            raise ValueError(f"must have 8 bits a channel, got mode {file.mode}")
        image = ImageOps.exif_transpose(file).convert("RGB")
    if config.fit == "pad":
        image = _padded(image)
    side = config.image_size
    return np.asarray(image.resize((side, side), _FILTERS[config.interpolation]), dtype=np.uint8)


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """While images are decoded, in threads too: one of absurd size is an error, and no other oddity is printed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _padded(image: Image.Image) -> Image.Image:
    side = max(image.size)
    if side * side > MAX_PIXELS:
        raise ValueError(f"must be less oblong to be padded to a square, got {image.width} x {image.height} pixels")
    canvas = Image.new("RGB", (side, side))
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return canvas
