"""What is to be judged, read from a sweep's folder or from an index of files made elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.metrics import Outcome


class SourceError(ValueError):
    """What cannot be judged; the message names the file and says what must hold and what came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One arm x one seed on the test set."""

    seed: int
    outcome: Outcome
    """What it did with each image, in the study's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One named configuration and its runs."""

    name: str
    levers: Mapping[str, Any]
    runs: tuple[Run, ...]
    """In the order of their seeds; at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Arms that were tested on the same images."""

    name: str
    question: str
    baseline: str
    primary_metric: str
    guard_metrics: tuple[str, ...]
    margin: float
    classes: tuple[str, ...]
    sample_id: NDArray[np.str_]
    """Images, [N], ascending."""
    group_id: NDArray[np.str_]
    """Lesion, patient or case of each image, [N]; the image itself where nothing else is known."""
    label: NDArray[np.int64]
    """Index into `classes`, [N]."""
    arms: tuple[Arm, ...]
    """In the order they were asked for."""
    problems: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


def load_study(path: Path) -> Study:
    """The study in a sweep's folder or behind an index CSV.

    Raises SourceError where there is neither, or nothing in it that can be judged.
    """
    raise SourceError(f"{path} must be a sweep's folder or an index CSV")
