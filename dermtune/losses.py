"""The training losses: cross-entropy, focal in two forms, smoothing, adjustment, margins, weights, in one formula.

With z the logits, z' = z + tau log prior - margin onehot(y), p = softmax z', K classes, w class weights and
y~ = (1 - eps) onehot(y) + eps / K:

    soft        w_y  x  -sum_c y~_c (1 - p_c)^gamma log p_c
    modulated   w_y  x  (1 - p_y)^gamma  x  -sum_c y~_c log p_c,  the factor detached

gamma = 0 is torch's smoothed cross-entropy in both forms and eps = 0 is focal loss (Lin et al. 2017); tau = 1 is
balanced softmax (Ren et al. 2020; Menon et al. 2021). Were the modulator not detached, p_y = 1 would be the optimum
for every gamma > 0 and smoothing would be cancelled: that form is not offered.

A weight is the image's: w of its class multiplies its whole loss, smoothed and focal. torch's cross_entropy with
`weight` and `label_smoothing` weights the smoothed part class by class; without smoothing both are the same. The
focal factor knows nothing of the weight: taken from exp(-weighted loss), as some code has it, p_y would become
p_y^w. A step's loss is the mean over its images, where torch divides by the sum of their weights: a batch of rare
images counts for more than one of common ones.

A mixed image has the mean of its two classes' losses, each as above, in the shares of the two (Zhang et al. 2018).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dermtune.levers import FocalForm, Levers
from dermtune.sending import sent

LDAM_SCALE = 30.0
"""s: LDAM's logits are s cos (Cao et al. 2019 and their code)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedLabels:
    """The two classes of each image of a batch that was blended with itself."""

    own: Tensor
    """Class of the image, [B]."""
    partners: Tensor
    """Class of what it was blended with, [B]."""
    share: float | Tensor
    """How much of its own is left, in [0, 1]; [B] where not the same of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationLoss:
    """The loss that a trial's levers ask for."""

    focal_gamma: float
    focal_form: FocalForm
    label_smoothing: float
    log_adjustment: Tensor
    """tau log prior, [K]; zeros where the lever is off."""
    margins: Tensor | None = None
    """What is taken off the true class's logit, [K]; None takes nothing."""
    weights: Tensor | None = None
    """What an image's loss is multiplied with, by its class, [K]; None multiplies with nothing."""

    def __call__(self, logits: Tensor, labels: Tensor | MixedLabels) -> Tensor:
        """Loss of each image, [B], from logits [B, K] and class indices [B], or two of them."""
        if isinstance(labels, MixedLabels):
            own, partners = self(logits, labels.own), self(logits, labels.partners)
            return labels.share * own + (1 - labels.share) * partners
        losses = self._unweighted(logits, labels)
        return losses if self.weights is None else sent(self.weights, logits.device)[labels] * losses

    def _unweighted(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.float() + sent(self.log_adjustment, logits.device)
        if self.margins is not None:
            logits = logits - functional.one_hot(labels, logits.shape[-1]) * sent(self.margins, logits.device)
        log_p = functional.log_softmax(logits, dim=-1)
        targets = smoothed_targets(labels, log_p.shape[-1], self.label_smoothing)
        if self.focal_gamma == 0:
            return -(targets * log_p).sum(-1)
        if self.focal_form == "soft":
            return -(targets * focal_factor(log_p, self.focal_gamma) * log_p).sum(-1)
        log_p_y = log_p.gather(-1, labels[:, None]).squeeze(-1).detach()
        return focal_factor(log_p_y, self.focal_gamma) * -(targets * log_p).sum(-1)


def loss_for(levers: Levers, prior: Tensor) -> ClassificationLoss:
    """The loss of these levers without margins and weights, given the class prior that training sees, [K]."""
    return ClassificationLoss(
        focal_gamma=levers.focal_gamma,
        focal_form=levers.focal_form,
        label_smoothing=levers.label_smoothing,
        log_adjustment=levers.logit_adjustment * prior.log(),
    )


def class_weights(levers: Levers, seen: Tensor) -> Tensor:
    """Weights of the classes, [K], mean 1, by the images of each that training sees, [K].

    Effective number: (1 - b) / (1 - b^n) (Cui et al. 2019, arXiv:1901.05555, equation 4). Power of the prior:
    (n / N)^-s, whose s = 1 is what Cui et al. call b -> 1.
    """
    n = seen.double()
    if levers.effective_number:
        weights = (1 - levers.effective_number) / (1 - levers.effective_number**n)
    else:
        weights = (n / n.sum()) ** -levers.prior_weight
    return (weights / weights.mean()).float()


def ldam_margins(class_counts: NDArray[np.int64], largest: float) -> Tensor:
    """What LDAM takes off the true class's logit, s m (n_min / n)^(1/4), [K], by the images of each class.

    `largest` is m, the rarest class's margin. A margin is a difference of cosines: it is meant for the logits
    s cos of `dermtune.cosine`, where no growth of the weights can undo it (Cao et al. 2019, arXiv:1906.07413,
    equations 13 and 14).
    """
    n = torch.from_numpy(np.asarray(class_counts, dtype=np.float64))
    return (LDAM_SCALE * largest * (n.min() / n) ** 0.25).float()


def smoothed_targets(labels: Tensor, n_classes: int, smoothing: float) -> Tensor:
    """One-hot targets with `smoothing` of their mass spread evenly over all classes, [B, K]."""
    onehot = functional.one_hot(labels, n_classes).float()
    return (1 - smoothing) * onehot + smoothing / n_classes


def focal_factor(log_p: Tensor, gamma: float) -> Tensor:
    """(1 - p)^gamma, computed from log p without cancellation and with a finite gradient at p = 1."""
    one_minus_p = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    return one_minus_p**gamma
