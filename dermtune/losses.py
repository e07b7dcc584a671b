"""The training losses: cross-entropy, focal in two forms, label smoothing, logit adjustment, all in one formula.

With z the logits, z' = z + tau log prior, p = softmax z', K classes and y~ = (1 - eps) onehot(y) + eps / K:

    soft        -sum_c y~_c (1 - p_c)^gamma log p_c
    modulated   (1 - p_y)^gamma  x  -sum_c y~_c log p_c,  the factor detached

gamma = 0 is torch's smoothed cross-entropy in both forms and eps = 0 is focal loss (Lin et al. 2017); tau = 1 is
balanced softmax (Ren et al. 2020; Menon et al. 2021). Were the modulator not detached, p_y = 1 would be the optimum
for every gamma > 0 and smoothing would be cancelled: that form is not offered.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dermtune.config import FocalForm, Levers


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationLoss:
    """The loss that a trial's levers ask for."""

    focal_gamma: float
    focal_form: FocalForm
    label_smoothing: float
    log_adjustment: Tensor
    """tau log prior, [K]; zeros where the lever is off."""

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of each image, [B], from logits [B, K] and class indices [B]."""
        log_p = functional.log_softmax(logits.float() + self.log_adjustment.to(logits.device), dim=-1)
        targets = smoothed_targets(labels, log_p.shape[-1], self.label_smoothing)
        if self.focal_gamma == 0:
            return -(targets * log_p).sum(-1)
        if self.focal_form == "soft":
            return -(targets * focal_factor(log_p, self.focal_gamma) * log_p).sum(-1)
        log_p_y = log_p.gather(-1, labels[:, None]).squeeze(-1).detach()
        return focal_factor(log_p_y, self.focal_gamma) * -(targets * log_p).sum(-1)


def loss_for(levers: Levers, prior: Tensor) -> ClassificationLoss:
    """The loss of these levers, given the class prior that training sees, [K], summing to one."""
    return ClassificationLoss(
        focal_gamma=levers.focal_gamma,
        focal_form=levers.focal_form,
        label_smoothing=levers.label_smoothing,
        log_adjustment=levers.logit_adjustment * prior.log(),
    )


def smoothed_targets(labels: Tensor, n_classes: int, smoothing: float) -> Tensor:
    """One-hot targets with `smoothing` of their mass spread evenly over all classes, [B, K]."""
    onehot = functional.one_hot(labels, n_classes).float()
    return (1 - smoothing) * onehot + smoothing / n_classes


def focal_factor(log_p: Tensor, gamma: float) -> Tensor:
    """(1 - p)^gamma, computed from log p without cancellation and with a finite gradient at p = 1."""
    one_minus_p = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    return one_minus_p**gamma
