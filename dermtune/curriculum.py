"""What a trial's epochs show and ask of it, where that changes from one to the next."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dermtune.levers import Levers
from dermtune.losses import ClassificationLoss, class_weights, ldam_margins, loss_for
from dermtune.sampling import training_prior


@dataclass(frozen=True, slots=True, kw_only=True)
class Curriculum:
    """The sampler's progress and the loss of each epoch, numbered from 0."""

    levers: Levers
    class_counts: NDArray[np.int64]
    """Training images of each class, [K]."""
    epochs: int

    def progress(self, epoch: int) -> float:
        """How far the epoch's class shares are on their way from the natural ones to those of `sampler_power`.

        Progressively balanced sampling: e / (E - 1), from 0 in the first epoch to 1 in the last (Kang et al. 2020,
        arXiv:1910.09217, equation 3, with the steps of their code).
        """
        if self.levers.sampler_schedule == "constant":
            return 1.0
        return epoch / max(self.epochs - 1, 1)

    def prior(self, epoch: int) -> Tensor:
        """The class prior that the epoch shows, [K], summing to one."""
        return training_prior(self.class_counts, self.levers.sampler_power, self.progress(epoch))

    def loss(self, epoch: int) -> ClassificationLoss:
        """The loss of the epoch, by the classes that it shows.

        Weights go by what is shown: n is the number of images of a class that the epoch shows, so that a sampler
        which has evened the classes out leaves nothing to weight. Margins go by the images that there are: one that
        is shown more often tells no more of its class.
        """
        prior = self.prior(epoch)
        loss = loss_for(self.levers, prior)
        if self.levers.ldam:
            loss = replace(loss, margins=ldam_margins(self.class_counts, self.levers.ldam))
        if self.levers.weighted and epoch >= self.levers.drw * self.epochs:
            loss = replace(loss, weights=class_weights(self.levers, int(self.class_counts.sum()) * prior))
        return loss

    @property
    def last_loss(self) -> ClassificationLoss:
        """The loss that the last epoch ends with."""
        return self.loss(self.epochs - 1)
