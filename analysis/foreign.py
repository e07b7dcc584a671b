"""Prediction files made elsewhere: an index CSV that names them, and Parquet or CSV tables of probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analysis.assembly import assemble
from analysis.lookahead import ahead
from analysis.metrics import Floats
from analysis.predictions import PredictionError, read_predictions
from analysis.split import Split
from analysis.study import Correction, Question, SourceError, Strings, Study, Tested

INDEX_COLUMNS = ("arm", "seed", "path")
SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may be from one: what rounding to four decimals does to a few dozen classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    arm: str
    seed: int
    path: Path
    val: Path | None
    """Its predictions on the validation set; None where the index names none."""


def load_index(path: Path, *, quick: bool = False, labels: Correction | None = None) -> Study:
    """The study behind an index CSV with columns arm, seed, path, maybe val; paths are relative to the CSV.

    The baseline is the arm of that name, else the first arm. Raises SourceError, naming file and row.
    """
    entries = _read_index(path)
    arms = list(dict.fromkeys(entry.arm for entry in entries))
    question = Question(
        name=path.stem,
        sentence="",
        baseline=best_baseline(arms),
        arms={arm: {} for arm in arms},
    )
    return assemble(
        question,
        ahead(partial(_tested, quick=quick), entries),
        provenance={"index": path.name},
        quick=quick,
        labels=labels,
    )


def best_baseline(arms: Sequence[str]) -> str:
    """The arm of that name, else the first."""
    return "baseline" if "baseline" in arms else arms[0]


def run_columns(table: pd.DataFrame, path: Path) -> list[tuple[str, int]]:
    """Arm and seed of each row, each pair once. Raises SourceError."""
    refuse_rows(~table["seed"].str.fullmatch(r"\d+").to_numpy(), path, "seed must be a whole number", table["seed"])
    refuse_rows((table["arm"] == "").to_numpy(), path, "arm must have a name", table["arm"])
    runs = [(arm, int(seed)) for arm, seed in zip(table["arm"], table["seed"], strict=True)]
    doubled = pd.Series(runs).duplicated().to_numpy()
    refuse_rows(doubled, path, "arm and seed must be unique", table["arm"] + " · seed " + table["seed"])
    return runs


def _read_index(path: Path) -> list[_Entry]:
    table = read_csv(path)
    missing = [column for column in INDEX_COLUMNS if column not in table.columns]
    if missing:
        raise SourceError(
            f"{path}: an index must have the columns {', '.join(INDEX_COLUMNS)}, {missing[0]!r} is missing "
            f"(it has {', '.join(table.columns)})"
        )
    if table.empty:
        raise SourceError(f"{path}: an index must name at least one file, got none")
    runs = run_columns(table, path)
    files = _named_files(table, "path", path)
    vals = _named_files(table, "val", path) if "val" in table.columns else [None] * len(files)
    return [
        _Entry(arm=arm, seed=seed, path=file, val=val)
        for (arm, seed), file, val in zip(runs, files, vals, strict=True)
    ]


def _named_files(table: pd.DataFrame, column: str, path: Path) -> list[Path]:
    """The files that a column of the index names, each of which must be there."""
    files = [path.parent / name for name in table[column]]
    absent = np.asarray([not file.is_file() for file in files])
    refuse_rows(absent, path, f"{column} must name a file", table[column])
    return files


def _tested(entry: _Entry, *, quick: bool) -> Tested:
    tested = _read(entry)
    if entry.val is None or quick:
        return tested
    return replace(tested, val=_val(_read(replace(entry, path=entry.val)), tested))


def _val(val: Tested, test: Tested) -> Split:
    """What a run says of its validation set, the classes in the test set's order."""
    if set(val.classes) != set(test.classes):
        raise SourceError(
            f"{val.source}: must have the classes of {test.source} ({', '.join(test.classes)}), "
            f"got {', '.join(val.classes)}"
        )
    in_test = np.isin(val.sample_id, test.sample_id)
    refuse_rows(in_test, Path(val.source), f"val must have no image of {test.source}", val.sample_id)
    split = replace(val.test, group_id=val.group_id)
    return split.columns(np.asarray([val.classes.index(name) for name in test.classes]))


def _read(entry: _Entry) -> Tested:
    return _read_native(entry) if _is_native(entry.path) else _read_foreign(entry)


def _is_native(path: Path) -> bool:
    """Whether the file is dermtune's own, which says so in its schema."""
    if path.suffix.lower() == ".csv":
        return False
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path}: must be a readable Parquet or CSV file: {error}") from None
    return b"dermtune.format" in metadata


def _read_native(entry: _Entry) -> Tested:
    try:
        predictions = read_predictions(entry.path)
    except PredictionError as error:
        raise SourceError(str(error)) from None
    return Tested(
        source=str(entry.path),
        arm=entry.arm,
        seed=entry.seed,
        classes=predictions.classes,
        sample_id=predictions.sample_id,
        group_id=predictions.group_id,
        label=predictions.label.astype(np.int64),
        probabilities=predictions.probabilities,
        logits_hflip=predictions.logits_hflip,
    )


def _read_foreign(entry: _Entry) -> Tested:
    path = entry.path
    table = read_table(path)
    for column in ("sample_id", "label"):
        if column not in table.columns:
            raise SourceError(
                f"{path}: must have the column {column!r}, it has {', '.join(map(str, table.columns))}"
            )
    if table.empty:
        raise SourceError(f"{path}: must have at least one image, got none")
    sample_id = strings(table, "sample_id", path)
    refuse_rows(pd.Series(sample_id).duplicated().to_numpy(), path, "sample_id must be unique", sample_id)
    classes, probabilities = _probabilities(table, path)
    return Tested(
        source=str(path),
        arm=entry.arm,
        seed=entry.seed,
        classes=classes,
        sample_id=sample_id,
        group_id=strings(table, "group_id", path) if "group_id" in table.columns else sample_id,
        label=_labels(strings(table, "label", path), classes, path),
        probabilities=probabilities,
    )


def _labels(names: Strings, classes: tuple[str, ...], path: Path) -> NDArray[np.int64]:
    unknown = ~np.isin(names, classes)
    refuse_rows(unknown, path, f"label must be a class ({', '.join(classes)})", names)
    number = {name: k for k, name in enumerate(classes)}
    return np.asarray([number[name] for name in names.tolist()], dtype=np.int64)


def _probabilities(table: pd.DataFrame, path: Path) -> tuple[tuple[str, ...], Floats]:
    """Class names and probabilities [N, K] from the columns prob_<class> or logit_<class>."""
    columns = {
        kind: [name for name in map(str, table.columns) if name.startswith(kind)] for kind in ("prob_", "logit_")
    }
    kinds = [kind for kind, names in columns.items() if names]
    if len(kinds) != 1:
        got = "both" if kinds else f"the columns {', '.join(map(str, table.columns))}"
        raise SourceError(f"{path}: must have columns prob_<class> or logit_<class>, got {got}")
    kind = kinds[0]
    names = columns[kind]
    if len(names) < 2:
        raise SourceError(f"{path}: must have at least two classes, got {names[0]}")
    values = table[names].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    samples = table["sample_id"]
    refuse_rows(~np.isfinite(values).all(axis=1), path, f"{kind}<class> must be finite numbers", samples)
    if kind == "logit_":
        values = np.exp(values - values.max(axis=1, keepdims=True))
    else:
        refuse_rows((values < 0).any(axis=1), path, "probabilities must be >= 0", samples)
        off = np.abs(values.sum(axis=1) - 1) > SUM_TOLERANCE
        refuse_rows(off, path, f"probabilities must sum to 1 within {SUM_TOLERANCE:g}", samples)
    return tuple(name.removeprefix(kind) for name in names), values / values.sum(axis=1, keepdims=True)


def read_csv(path: Path) -> pd.DataFrame:
    """The CSV, all text: a class or an image may be called NA. Raises SourceError."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise SourceError(f"{path}: must be a readable CSV: {error}") from None


def read_table(path: Path) -> pd.DataFrame:
    """The table in a CSV, all text, or in a Parquet file. Raises SourceError."""
    if path.suffix.lower() == ".csv":
        return read_csv(path)
    try:
        table: pd.DataFrame = pq.read_table(path).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path}: must be a readable Parquet or CSV file: {error}") from None
    return table


def strings(table: pd.DataFrame, column: str, path: Path) -> Strings:
    """The column as text, [N]. Raises SourceError where a cell is empty."""
    values = table[column]
    empty = (values.isna() | (values.astype(str) == "")).to_numpy()
    refuse_rows(empty, path, f"{column} must not be empty", table["sample_id"])
    return values.astype(str).to_numpy(dtype=np.str_)


def refuse_rows(bad: NDArray[np.bool_], path: Path, must: str, shown: "pd.Series[str] | Strings") -> None:
    """Raise SourceError where any row is bad; rows are counted from 1, a CSV's header apart."""
    if bad.any():
        row = int(np.argmax(bad))
        first = f"row {row + 1} ({str(np.asarray(shown)[row])!r})"
        raise SourceError(f"{path}: {must}; {int(bad.sum())} of {len(bad)} rows break this, the first is {first}")
