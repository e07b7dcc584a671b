"""What one run says of the images of one split, as logits: what treatments after training are made of."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special


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

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the logits, [N, K]."""
        return softmax(self.logits)

    def columns(self, place: NDArray[np.integer]) -> "Split":
        """The classes in another order: class i is what was class `place[i]`."""
        hflip = None if self.logits_hflip is None else self.logits_hflip[:, place]
        label = np.argsort(place)[self.label]
        return replace(self, label=label, logits=self.logits[:, place], logits_hflip=hflip)


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities [N, K] of logits [N, K], rows summing to one."""
    return np.asarray(special.softmax(logits.astype(np.float64), axis=1))
