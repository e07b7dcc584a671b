"""What can be made of a run's stored predictions after training, without training again.

Everything that is chosen is chosen on `val` and frozen; `test` is only scored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.metrics import Outcome, outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What one run says of the images of one split."""

    label: NDArray[np.int64]
    """True class, [N]."""
    logits: NDArray[np.floating]
    """Unnormalised log-probabilities, [N, K]."""
    logits_hflip: NDArray[np.floating] | None = None
    """The same of the mirrored image, [N, K]."""
    group_id: NDArray[np.str_] | None = None
    """Lesion, patient or case of each image, [N]."""

    def columns(self, place: NDArray[np.integer]) -> "Split":
        """The classes in another order: class i is what was class `place[i]`."""
        hflip = None if self.logits_hflip is None else self.logits_hflip[:, place]
        label = np.argsort(place)[self.label]
        return replace(self, label=label, logits=self.logits[:, place], logits_hflip=hflip)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostHoc:
    """One run's outcomes after training."""

    val: Outcome | None = None
    """Its outcome on `val`; None where that is not there."""
    val_groups: NDArray[np.str_] | None = None
    """What each image of `val` belongs to, [N]."""
    treated: Mapping[str, Outcome] = field(default_factory=dict)
    """Its outcome on `test` under each treatment, by the treatment's name."""


def posthoc(test: Split, val: Split | None, levers: Mapping[str, Any]) -> PostHoc:  # noqa: ARG001 for treatments
    """What is made of one run's predictions; without `val` only what needs no fitting."""
    if val is None:
        return PostHoc()
    return PostHoc(val=outcome(val.label, softmax(val.logits)), val_groups=val.group_id)


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities [N, K] of logits [N, K], rows summing to one."""
    return np.asarray(special.softmax(logits.astype(np.float64), axis=1))
