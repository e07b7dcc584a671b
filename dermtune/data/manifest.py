"""The metadata file, read and checked: which image shows what, belongs to what, and stands in which split."""

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermtune.config import DataConfig, UserError
from dermtune.data.decoding import UnreadableError, opened
from dermtune.data.place import Place, Progress
from dermtune.durable import write_text

SPLITS = ("train", "val", "test")
NO_BYTES = bytes(hashlib.sha256().digest_size)
"""Stands in a fingerprint for the hash of an image that is not there, or that nobody may read."""
_EMPTY_TEXTS = ["", "nan", "NaN"]
"""CSV texts that stand for nothing. `NA` and `None` are left alone: a class may be called so."""


class DataError(UserError):
    """Data that cannot be trained on; the message names the file, the row and the count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All rows of the metadata file, in its order."""

    metadata: Path
    """The file itself, for error messages and the fingerprint."""
    data_dir: Path
    files: tuple[str, ...]
    """Each image's file, relative to `data_dir` and never outside it, [N]."""
    sample_id: NDArray[np.str_]
    """The image column's values, [N]; unique."""
    group_id: NDArray[np.str_]
    """Lesion, patient or case, [N]; the sample_id where the recipe names no group column."""
    classes: tuple[str, ...]
    """Class names in alphabetical order."""
    label: NDArray[np.int64]
    """Index into `classes`, [N]."""
    split: NDArray[np.str_]
    """`train`, `val` or `test`, [N]."""


def read_manifest(config: DataConfig, data_dir: Path) -> Manifest:
    """The metadata file as arrays.

    Raises DataError for a missing file or column, an empty cell, a doubled image, an unknown split, a path that
    leaves the data folder, and classes that cannot be both trained and tested.
    """
    path = data_dir / config.metadata
    group_column = config.group_column or config.image_column
    columns = (config.image_column, config.label_column, group_column, config.split_column)
    table = _read_table(path, columns)
    image, label, group, split = (table[column].to_numpy(dtype=np.str_) for column in columns)
    _refuse_rows(~np.isin(split, SPLITS), split, f"{path}: `{config.split_column}` must be train, val or test")
    files = _files(path, image, config)
    check_classes(str(path), label, split)
    classes, index = np.unique(label, return_inverse=True)
    return Manifest(
        metadata=path,
        data_dir=data_dir,
        files=files,
        sample_id=image,
        group_id=group,
        classes=tuple(classes.tolist()),
        label=index.astype(np.int64),
        split=split,
    )


def fingerprint(manifest: Manifest, place: Place, progress: Progress) -> str:
    """SHA-256, in hex, over the metadata's bytes and every image's bytes in the metadata's order.

    An image that is missing enters as such, so that it changes when the image comes back. Remembered in the cache
    folder under all files' names, sizes and modification times, so that the bytes are read again only after a
    change. Raises DataError where the disk fails.
    """
    stamp = _stamp(manifest)
    remembered = place.cache_dir / "fingerprints" / stamp
    try:
        return remembered.read_text()
    except OSError:
        digest = _hash_files(manifest, progress)
    if _stamp(manifest) != stamp:
        raise DataError(f"{manifest.data_dir}: must not change while it is read; a file in it did")
    with place.writing():
        write_text(remembered, digest)
    return digest


def check_classes(where: str, label: NDArray[np.str_], split: NDArray[np.str_]) -> None:
    """Raise DataError unless every class is trained and tested; `where` leads the message."""
    present = {name: set(label[split == name].tolist()) for name in SPLITS}
    for name in ("train", "test"):
        if not present[name]:
            raise DataError(f"{where}: must have {name} images, got none")
    if len(present["train"]) < 2:
        raise DataError(f"{where}: must have at least two classes, got only {min(present['train'])!r}")
    untrained = sorted((present["test"] | present["val"]) - present["train"])
    untested = sorted(present["train"] - present["test"])
    if untrained:
        raise DataError(f"{where}: every class must have a train image, {_listed(untrained)} none")
    if untested:
        raise DataError(f"{where}: every class must have a test image, {_listed(untested)} none")


def _read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The wanted columns as text, none of it empty."""
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=_EMPTY_TEXTS)
    except FileNotFoundError:
        raise DataError(
            f"{path}: the metadata file must be there; `--data` names the folder that holds it"
        ) from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: must be a readable CSV or Parquet file: {error}") from None
    missing = [column for column in columns if column not in table.columns]
    if missing:
        has = ", ".join(map(str, table.columns))
        raise DataError(f"{path}: must have the column {missing[0]!r} that the recipe names; it has {has}")
    if table.empty:
        raise DataError(f"{path}: must have at least one row, got none")
    for column in columns:
        _refuse_rows(table[column].isna().to_numpy(), None, f"{path}: `{column}` must not be empty")
    return table


def _files(path: Path, image: NDArray[np.str_], config: DataConfig) -> tuple[str, ...]:
    """Each image's file relative to the data folder, checked to be inside it and there once."""
    folder = PurePosixPath(config.image_folder)
    names = [PurePosixPath(f"{value}{config.image_suffix}") for value in image.tolist()]
    outside = np.array([name.is_absolute() or ".." in name.parts or "\0" in str(name) for name in names])
    _refuse_rows(outside, image, f"{path}: `{config.image_column}` must name a file inside {folder}/")
    files = tuple(str(folder / name) for name in names)
    doubled = pd.Series(files).duplicated().to_numpy()
    _refuse_rows(doubled, image, f"{path}: `{config.image_column}` must name each image once")
    return files


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) + (" has" if len(names) == 1 else " have")


def _refuse_rows(bad: NDArray[np.bool_], value: NDArray[np.str_] | None, must: str) -> None:
    """Raise DataError with the count and the first bad row, counted from 1 below the header."""
    if bad.any():
        row = int(np.argmax(bad))
        got = "" if value is None else f" ({str(value[row])!r})"
        raise DataError(f"{must}; {int(bad.sum())} of {len(bad)} rows break this, the first is row {row + 1}{got}")


def _stamp(manifest: Manifest) -> str:
    """Hash of all files' names, sizes and modification times: it stands for their bytes until they change."""
    digest = hashlib.sha256(str(manifest.data_dir.resolve()).encode())
    for name in (manifest.metadata.name, *manifest.files):
        digest.update(f"\0{name}\0{_state(f'{manifest.data_dir}/{name}')}".encode())
    return digest.hexdigest()


def _state(path: str) -> str:
    """What changes when the file does; empty where there is none that could be read."""
    try:
        status = os.stat(path)  # noqa: PTH116 - thrice as fast as Path.stat over 10^5 files
    except OSError:
        return ""
    readable = stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK)
    return f"{status.st_size}\0{status.st_mtime_ns}" if readable else ""


def _hash_files(manifest: Manifest, progress: Progress) -> str:
    """A hash of hashes, so that no bytes can move from one file to the next unseen."""
    digest = hashlib.sha256(hashlib.sha256(manifest.metadata.read_bytes()).digest())
    for done, name in enumerate(manifest.files, start=1):
        digest.update(_hash(manifest.data_dir / name))
        if done % 256 == 0 or done == len(manifest.files):
            progress("hashing images", done, len(manifest.files))
    return digest.hexdigest()


def _hash(path: Path) -> bytes:
    try:
        with opened(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except UnreadableError:
        return NO_BYTES
    except OSError as error:
        raise DataError(f"{path}: must be read, which the machine cannot: {error.strerror}") from None
