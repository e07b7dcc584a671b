"""What every arm calls the classes that have test images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.confusion import confusion
from analysis.estimates import Design
from analysis.influence import Ints
from analysis.metrics import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """The classes that have test images, and what each arm calls them."""

    names: Sequence[str]
    """All classes of the data, [K]."""
    sizes: Floats
    """Images of each, [K]."""
    present: Ints
    """Indices of those with images, the most first."""
    matrices: Mapping[str, Floats]
    """Each arm's confusion matrix in images, mean over seeds, [K, K]."""
    baseline: str

    @property
    def before(self) -> Floats:
        """The baseline's confusion matrix."""
        return self.matrices[self.baseline]


def called_by(design: Design) -> Called:
    """What the design's arms call its test images."""
    sizes = design.units.class_sizes
    order = np.argsort(-sizes, kind="stable")
    return Called(
        names=design.study.classes,
        sizes=sizes,
        present=order[sizes[order] > 0],
        matrices={arm.name: confusion([run.outcome for run in arm.runs]) for arm in design.arms},
        baseline=design.baseline.name,
    )
