"""Corrected labels: read from a file, checked, and put in the place of those that predictions came with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.findings.labels import LabelFile
from analysis.foreign import read_table, refuse_rows, strings
from analysis.metrics import Floats
from analysis.study import Corrected, Ints, SourceError, Strings, Tested

PREFIX = "prob_"
"""Beginning of a column that holds the weight of a class."""
_EQUAL = 1e-9
"""Weights that differ by less, relative to the largest, are equal: a third has no last digit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedLabels:
    """What a label file says, before it is known of which images and classes the predictions are."""

    path: Path
    sample_id: Strings
    """The images that it names, [M], each once."""
    classes: tuple[str, ...]
    """The classes that it names, C of them."""
    weights: Floats
    """Weight of each class, [M, C], rows summing to one."""

    def __call__(self, file: Tested) -> Corrected:
        """The file's labels, [N], where this names an image the corrected one, and what was done.

        The class with the largest weight is the label. Among equals it is the one that the file has, if it is among
        them, else the first in the file's order of classes. Raises SourceError for an image or a class that the
        file has not.
        """
        place = self._columns(file)
        row = self._rows(file)
        weights = np.zeros((len(self.sample_id), len(file.classes)))
        weights[:, place] = self.weights
        label = file.label.copy()
        label[row] = _largest(weights, file.label[row])
        return Corrected(label=label, given=file.label, file=self._told(len(label)))

    def _columns(self, file: Tested) -> Ints:
        """The place of each class among the file's, [C]."""
        for name in self.classes:
            if name not in file.classes:
                raise SourceError(
                    f"{self.path}: a label must be a class of the predictions ({', '.join(file.classes)}), "
                    f"got {name!r}"
                )
        return np.asarray([file.classes.index(name) for name in self.classes])

    def _rows(self, file: Tested) -> Ints:
        """The row of each named image in the file, [M]; the file's images ascend."""
        row = np.searchsorted(file.sample_id, self.sample_id).clip(max=len(file.sample_id) - 1)
        unknown = file.sample_id[row] != self.sample_id
        refuse_rows(unknown, self.path, "sample_id must be one of the test images", self.sample_id)
        return row

    def _told(self, n_images: int) -> LabelFile:
        largest = self.weights.max(axis=1)
        return LabelFile(
            source=self.path.name,
            n_named=len(self.sample_id),
            n_kept=n_images - len(self.sample_id),
            n_tied=int((_at_largest(self.weights).sum(axis=1) > 1).sum()),
            n_unsure=int((largest <= 0.5 + _EQUAL).sum()),
        )


def read_labels(path: Path) -> CorrectedLabels:
    """The labels in a CSV or Parquet table of `sample_id` and `label`, or of weights `prob_<class>`.

    Raises SourceError, naming file and row, for doubled images, gaps, and weights that are no distribution.
    """
    table = read_table(path)
    columns = list(map(str, table.columns))
    of_classes = [name for name in columns if name.startswith(PREFIX)]
    if "sample_id" not in columns or ("label" in columns) == bool(of_classes):
        raise SourceError(
            f"{path}: must have the columns sample_id and label, or sample_id and one {PREFIX}<class> a class, "
            f"got {', '.join(columns)}"
        )
    if table.empty:
        raise SourceError(f"{path}: must have at least one image, got none")
    sample_id = strings(table, "sample_id", path)
    refuse_rows(pd.Series(sample_id).duplicated().to_numpy(), path, "sample_id must be unique", sample_id)
    if of_classes:
        classes, weights = [name.removeprefix(PREFIX) for name in of_classes], _weights(table, of_classes, path)
    else:
        classes, weights = _certain(strings(table, "label", path))
    return CorrectedLabels(path=path, sample_id=sample_id, classes=tuple(classes), weights=weights)


def _certain(labels: Strings) -> tuple[list[str], Floats]:
    """Class names and weights [M, C] that put all of each image on its label."""
    names, index = np.unique(labels, return_inverse=True)
    return list(map(str, names)), np.eye(len(names))[index]


def _weights(table: pd.DataFrame, columns: Sequence[str], path: Path) -> Floats:
    """Weights [M, C], each row divided by its sum."""
    values = table[list(columns)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    samples = table["sample_id"]
    refuse_rows(~np.isfinite(values).all(axis=1), path, f"{PREFIX}<class> must be finite numbers", samples)
    refuse_rows((values < 0).any(axis=1), path, "weights must be >= 0", samples)
    refuse_rows(~(values > 0).any(axis=1), path, "some class must have a weight above 0", samples)
    return np.asarray(values / values.sum(axis=1, keepdims=True))


def _largest(weights: Floats, given: Ints) -> Ints:
    """The class of each row, [M]: the largest weight's; among equals the given one, else the first."""
    largest = _at_largest(weights)
    return np.where(largest[np.arange(len(given)), given], given, largest.argmax(axis=1))


def _at_largest(weights: Floats) -> NDArray[np.bool_]:
    """Where a row's weight is its largest, [M, C]."""
    return np.asarray(weights >= weights.max(axis=1, keepdims=True) * (1 - _EQUAL))
