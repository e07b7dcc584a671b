"""Mixup: each image of a batch is blended with another one, and answers for both of their classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dermtune.losses import MixedLabels
from dermtune.sending import sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """Who is blended with whom in one batch, and how much each keeps of itself."""

    partners: Tensor
    """Index of each image's partner in the batch, [B]."""
    share: float | Tensor
    """What each image keeps of itself, in [0, 1]; [B] where not all keep the same."""

    def images(self, pixels: Tensor) -> Tensor:
        """Each image x as share x + (1 - share) x of its partner, [B, 3, H, W]."""
        share = (
            self.share if isinstance(self.share, float) else sent(self.share, pixels.device)[:, None, None, None]
        )
        return share * pixels + (1 - share) * pixels[sent(self.partners, pixels.device)]

    def labels(self, labels: Tensor) -> MixedLabels:
        """Both classes of each blend, from class indices [B]."""
        share = self.share if isinstance(self.share, float) else sent(self.share, labels.device)
        return MixedLabels(own=labels, partners=labels[sent(self.partners, labels.device)], share=share)


def side_by_side(pairings: Sequence[Pairing]) -> Pairing:
    """The pairing of batches that stand behind each other in one; none has a partner in another's."""
    if len(pairings) == 1:
        return pairings[0]
    sizes = [len(pairing.partners) for pairing in pairings]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    shares = [torch.as_tensor(p.share).expand(n) for p, n in zip(pairings, sizes, strict=True)]
    return Pairing(
        partners=torch.cat([start + p.partners for start, p in zip(starts, pairings, strict=True)]),
        share=torch.cat(shares),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixup:
    """Pairings drawn by (seed, step) alone: the same in every arm, and after a resume.

    Zhang et al. 2018, arXiv:1710.09412, equation 1; one share a batch, as in the authors' code.
    """

    alpha: float
    """The share is drawn from Beta(alpha, alpha)."""
    seed: int

    def pairing(self, n: int, step: int) -> Pairing:
        """The pairing of a forward pass of `n` images."""
        rng = np.random.default_rng((self.seed, step, _STREAM))
        partners = torch.from_numpy(rng.permutation(n))
        return Pairing(partners=partners, share=float(rng.beta(self.alpha, self.alpha)))


_STREAM = 1
"""Sets these draws apart from the mirrors of the same step."""
