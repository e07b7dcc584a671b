"""The prediction file: one row an image, written once a trial, read by everything that judges it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analysis.wholefile import whole

FORMAT = 1
COLUMNS = ("sample_id", "group_id", "label", "logits")
"""Columns that every file has; `logits_hflip` may stand beside them."""


class PredictionError(ValueError):
    """A prediction file or array that cannot be judged; the message names the file and the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What one trial said about each image of one split."""

    arm: str
    seed: int
    split: str
    trial_id: str
    classes: tuple[str, ...]
    """Class names, in the order of the logits' columns."""
    sample_id: NDArray[np.str_]
    """The image, [N]; unique."""
    group_id: NDArray[np.str_]
    """Lesion, patient or case that the image belongs to, [N]; the image itself where nothing else is known."""
    label: NDArray[np.int16]
    """Index into `classes`, [N]."""
    logits: NDArray[np.float32]
    """Unnormalised log-probabilities, [N, K]."""
    logits_hflip: NDArray[np.float32] | None = None
    """The same of the mirrored image, [N, K]."""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the logits, [N, K], rows summing to one."""
        shifted = self.logits.astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        np.exp(shifted, out=shifted)
        shifted /= shifted.sum(axis=1, keepdims=True)
        return shifted


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write the Parquet file, whole or not at all. Raises OSError where it cannot be."""
    columns: dict[str, pa.Array] = {
        "sample_id": pa.array(predictions.sample_id.tolist(), pa.string()),
        "group_id": pa.array(predictions.group_id.tolist(), pa.string()),
        "label": pa.array(predictions.label, pa.int16()),
        "logits": _fixed_size_lists(predictions.logits),
    }
    if predictions.logits_hflip is not None:
        columns["logits_hflip"] = _fixed_size_lists(predictions.logits_hflip)
    metadata = {
        "dermtune.format": str(FORMAT),
        "dermtune.classes": json.dumps(list(predictions.classes)),
        "dermtune.arm": predictions.arm,
        "dermtune.seed": str(predictions.seed),
        "dermtune.split": predictions.split,
        "dermtune.trial_id": predictions.trial_id,
    }
    table = pa.table(columns).replace_schema_metadata(metadata)
    with whole(path) as partial:
        pq.write_table(table, partial, use_dictionary=False)  # nothing repeats: a dictionary would add to the size


def read_predictions(path: Path) -> Predictions:
    """Read a file that `write_predictions` wrote, checked.

    Raises PredictionError, naming the file, where it is no such file or holds what cannot be judged.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise PredictionError(f"{path}: must be a readable Parquet file: {error}") from None
    metadata = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    if metadata.get("dermtune.format") != str(FORMAT):
        got = metadata.get("dermtune.format", "none")
        raise PredictionError(f"{path}: must be a dermtune prediction file of format {FORMAT}, got format {got}")
    hflip = "logits_hflip" in table.column_names
    try:
        _refuse_gaps(table)
        return Predictions(
            arm=metadata["dermtune.arm"],
            seed=int(metadata["dermtune.seed"]),
            split=metadata["dermtune.split"],
            trial_id=metadata["dermtune.trial_id"],
            classes=tuple(json.loads(metadata["dermtune.classes"])),
            sample_id=table["sample_id"].to_numpy().astype(np.str_),
            group_id=table["group_id"].to_numpy().astype(np.str_),
            label=table["label"].to_numpy().astype(np.int16),
            logits=_matrix(table, "logits"),
            logits_hflip=_matrix(table, "logits_hflip") if hflip else None,
        )
    except KeyError as error:
        raise PredictionError(f"{path}: must have the metadata key {error}") from None
    except PredictionError as error:
        raise PredictionError(f"{path}: {error}") from None


def _refuse_gaps(table: pa.Table) -> None:
    """Refuse a table with a column missing or an empty cell."""
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise PredictionError(f"must have the columns {', '.join(COLUMNS)}, {missing[0]!r} is missing")
    for name in table.column_names:
        if table[name].null_count:
            raise PredictionError(f"column {name} must have no gaps, {table[name].null_count} rows have")


def _fixed_size_lists(matrix: NDArray[np.float32]) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(matrix, dtype=np.float32).ravel(), pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])


def _matrix(table: pa.Table, column: str) -> NDArray[np.float32]:
    chunk = table[column].combine_chunks()
    if not pa.types.is_fixed_size_list(chunk.type):
        raise PredictionError(f"column {column} must be a fixed-size list of float32, got {chunk.type}")
    width = chunk.type.list_size
    return np.asarray(chunk.flatten().to_numpy(zero_copy_only=False), dtype=np.float32).reshape(-1, width)


def _check(p: Predictions) -> None:
    n, k = len(p.sample_id), len(p.classes)
    if len(set(p.classes)) < k:
        raise PredictionError(f"class names must differ, got {', '.join(p.classes)}")
    if p.logits.shape != (n, k):
        raise PredictionError(f"logits must be [{n} images, {k} classes], got {list(p.logits.shape)}")
    if not len(p.group_id) == len(p.label) == n:
        raise PredictionError(f"group_id and label must have {n} rows, got {len(p.group_id)} and {len(p.label)}")
    if n == 0:
        raise PredictionError("there must be at least one image, got none")
    _refuse_rows(p.group_id == "", p.sample_id, "group_id must not be empty")
    _refuse_rows(_not_finite(p.logits), p.sample_id, "logits must be finite")
    _refuse_rows((p.label < 0) | (p.label >= k), p.sample_id, f"label must lie in 0..{k - 1}")
    if p.logits_hflip is not None:
        if p.logits_hflip.shape != (n, k):
            raise PredictionError(f"logits_hflip must be [{n}, {k}], got {list(p.logits_hflip.shape)}")
        _refuse_rows(_not_finite(p.logits_hflip), p.sample_id, "logits_hflip must be finite")
    in_order = np.sort(p.sample_id)
    doubled: Sequence[str] = np.unique(in_order[1:][in_order[1:] == in_order[:-1]]).tolist()
    if doubled:
        raise PredictionError(f"sample_id must be unique, {len(doubled)} are doubled, the first {doubled[0]!r}")


def _not_finite(matrix: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Rows with a value that is not a finite number, [N]."""
    return np.asarray(~np.isfinite(matrix).all(axis=1))


def _refuse_rows(bad: NDArray[np.bool_], sample_id: NDArray[np.str_], must: str) -> None:
    """Refuse where any row is bad; rows are counted from 1."""
    if bad.any():
        row = int(np.argmax(bad))
        raise PredictionError(
            f"{must}; {int(bad.sum())} of {len(bad)} rows break this, the first is row {row + 1} "
            f"({str(sample_id[row])!r})"
        )
