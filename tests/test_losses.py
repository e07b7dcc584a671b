"""The losses against torch, against their definitions, and at their limits."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from dermtune.config import Levers
from dermtune.losses import (
    ClassificationLoss,
    MixedLabels,
    class_weights,
    ldam_margins,
    loss_for,
    smoothed_targets,
)

K = 7


def make_loss(**levers) -> ClassificationLoss:
    return loss_for(Levers(**levers), torch.full((K,), 1 / K))


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(64, K, generator=generator)
    return logits, torch.randint(K, (64,), generator=generator)


@pytest.mark.parametrize(("form", "eps"), list(itertools.product(["soft", "modulated"], [0.0, 0.1, 0.3])))
def test_gamma_zero_is_torchs_smoothed_cross_entropy_in_both_forms(batch, form, eps):
    logits, labels = batch
    ours = make_loss(focal_form=form, label_smoothing=eps)(logits, labels)
    torchs = functional.cross_entropy(logits, labels, label_smoothing=eps, reduction="none")
    torch.testing.assert_close(ours, torchs)


@pytest.mark.parametrize(("form", "gamma"), list(itertools.product(["soft", "modulated"], [0.5, 1.0, 2.0, 3.0])))
def test_without_smoothing_both_forms_have_the_value_of_focal_loss(batch, form, gamma):
    logits, labels = batch
    p_t = logits.softmax(-1).gather(1, labels[:, None]).squeeze(1)
    torch.testing.assert_close(
        make_loss(focal_form=form, focal_gamma=gamma)(logits, labels), -((1 - p_t) ** gamma) * p_t.log()
    )


def test_the_soft_form_is_its_definition_term_by_term(batch):
    logits, labels = batch
    targets, p = smoothed_targets(labels, K, 0.1), logits.softmax(-1)
    by_hand = torch.stack(
        [
            sum(-t * (1 - q) ** 2 * q.log() for t, q in zip(*rows, strict=True))
            for rows in zip(targets, p, strict=True)
        ]
    )
    torch.testing.assert_close(make_loss(focal_gamma=2, label_smoothing=0.1)(logits, labels), by_hand)


def test_the_modulated_form_scales_the_gradient_of_cross_entropy_and_nothing_else(batch):
    logits, labels = batch
    logits.requires_grad_()
    p_t = logits.softmax(-1).gather(1, labels[:, None]).squeeze(1).detach()
    (plain,) = torch.autograd.grad(
        functional.cross_entropy(logits, labels, label_smoothing=0.1, reduction="none").sum(), logits
    )
    loss = make_loss(focal_form="modulated", focal_gamma=2, label_smoothing=0.1)
    (focal,) = torch.autograd.grad(loss(logits, labels).sum(), logits)
    torch.testing.assert_close(focal, ((1 - p_t) ** 2)[:, None] * plain)


@pytest.mark.parametrize(("gamma", "optimum"), [(1.0, 0.794), (2.0, 0.693), (3.0, 0.614)])
def test_the_soft_forms_optimum_at_smoothing_one_tenth_is_where_theory_puts_it(gamma, optimum):
    loss = make_loss(focal_gamma=gamma, label_smoothing=0.1)

    def at(p_t: float) -> float:
        p = torch.full((1, K), (1 - p_t) / (K - 1), dtype=torch.float64)
        p[0, 0] = p_t
        return float(loss(p.log(), torch.tensor([0])))

    assert minimize_scalar(at, bounds=(0.2, 0.999), method="bounded").x == pytest.approx(optimum, abs=1e-3)


def test_logit_adjustment_adds_tau_log_prior_and_with_a_uniform_prior_changes_nothing(batch):
    logits, labels = batch
    prior = torch.tensor([0.5, 0.2, 0.1, 0.08, 0.06, 0.04, 0.02])
    adjusted = loss_for(Levers(logit_adjustment=1.5), prior)(logits, labels)
    torch.testing.assert_close(
        adjusted, functional.cross_entropy(logits + 1.5 * prior.log(), labels, reduction="none")
    )
    torch.testing.assert_close(make_loss(logit_adjustment=1.5)(logits, labels), make_loss()(logits, labels))


@pytest.mark.parametrize(("form", "gamma"), list(itertools.product(["soft", "modulated"], [0.5, 2.0])))
def test_certain_and_hopeless_logits_give_finite_losses_and_gradients(form, gamma):
    logits = torch.tensor([[200.0] + [0.0] * (K - 1), [-200.0] + [0.0] * (K - 1)], requires_grad=True)
    losses = make_loss(focal_form=form, focal_gamma=gamma, label_smoothing=0.1)(logits, torch.tensor([0, 0]))
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert torch.isfinite(losses).all()
    assert torch.isfinite(gradient).all()


def test_gradients_agree_with_finite_differences():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, K, generator=generator)
    labels = torch.tensor([0, 3, 6])
    loss = make_loss(focal_gamma=2, label_smoothing=0.1)
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, labels).sum(), logits)
    step = torch.zeros_like(logits)
    step[1, 3] = 1e-2
    with torch.no_grad():
        slope = (loss(logits + step, labels).sum() - loss(logits - step, labels).sum()) / 2e-2
    assert float(gradient[1, 3]) == pytest.approx(float(slope), abs=1e-3)


# Class weights, margins, mixed labels.

COUNTS = np.array([3000, 700, 550, 300, 250, 80, 75])


def weights_of(**levers) -> torch.Tensor:
    return class_weights(Levers(**levers), torch.from_numpy(COUNTS))


@pytest.mark.parametrize("b", [0.9, 0.999, 0.9999])
def test_effective_number_weights_are_one_over_the_sum_of_the_powers_of_b_with_mean_one(b):
    # (1 - b^n) / (1 - b) = 1 + b + ... + b^(n-1), summed here term by term.
    expected = np.array([1 / (b ** np.arange(n)).sum() for n in COUNTS])
    np.testing.assert_allclose(weights_of(effective_number=b), expected / expected.mean(), rtol=1e-5)


def test_prior_weights_at_one_are_scikit_learns_balanced_ones_and_near_them_is_the_effective_number():
    labels = np.repeat(np.arange(K), COUNTS)
    balanced = compute_class_weight("balanced", classes=np.arange(K), y=labels)
    np.testing.assert_allclose(weights_of(prior_weight=1.0), balanced / balanced.mean(), rtol=1e-5)
    np.testing.assert_allclose(weights_of(effective_number=1 - 1e-9), weights_of(prior_weight=1.0), rtol=1e-4)
    np.testing.assert_allclose(weights_of(effective_number=1e-9), 1, rtol=1e-6)


def test_weights_are_torchs_without_smoothing_and_with_it_are_the_images_and_not_the_classes(batch):
    logits, labels = batch
    weights = weights_of(prior_weight=0.5)

    def both(eps: float) -> tuple[torch.Tensor, torch.Tensor]:
        ours = replace(make_loss(label_smoothing=eps), weights=weights)(logits, labels)
        return ours, functional.cross_entropy(logits, labels, weight=weights, label_smoothing=eps, reduction="none")

    torch.testing.assert_close(*both(0.0))
    ours, torchs = both(0.1)
    plain = functional.cross_entropy(logits, labels, label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(ours, weights[labels] * plain)
    assert (ours - torchs).abs().max() > 0.1


def test_the_focal_factor_of_a_weighted_loss_is_that_of_the_probability(batch):
    logits, labels = batch
    weights = weights_of(prior_weight=1.0)
    focal = replace(make_loss(focal_gamma=2), weights=weights)(logits, labels)
    torch.testing.assert_close(focal, weights[labels] * make_loss(focal_gamma=2)(logits, labels))


def test_ldam_is_the_reference_formula_and_gives_the_rarest_class_the_largest_margin(batch):
    _, labels = batch
    cosines = 2 * torch.rand(64, K, generator=torch.Generator().manual_seed(2)) - 1
    m = 0.5 / COUNTS**0.25 * COUNTS.min() ** 0.25
    assert m.max() == m[-1] == 0.5
    shifted = cosines.clone()
    for i, y in enumerate(labels):
        shifted[i, y] -= m[y]
    ours = replace(make_loss(), margins=ldam_margins(COUNTS, 0.5))(30 * cosines, labels)
    torch.testing.assert_close(ours, functional.cross_entropy(30 * shifted, labels, reduction="none"))


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_a_mixed_image_has_torchs_cross_entropy_with_the_mixed_target(batch, eps):
    logits, labels = batch
    partners = labels.roll(1)
    target = 0.3 * functional.one_hot(labels, K) + 0.7 * functional.one_hot(partners, K)
    ours = make_loss(label_smoothing=eps)(logits, MixedLabels(own=labels, partners=partners, share=0.3))
    torch.testing.assert_close(
        ours, functional.cross_entropy(logits, target, label_smoothing=eps, reduction="none")
    )


def test_the_soft_focal_loss_of_a_mixed_image_is_its_definition_on_the_mixed_target(batch):
    logits, labels = batch
    partners, p = labels.roll(1), logits.softmax(-1)
    target = 0.3 * smoothed_targets(labels, K, 0.1) + 0.7 * smoothed_targets(partners, K, 0.1)
    ours = make_loss(focal_gamma=2, label_smoothing=0.1)(
        logits, MixedLabels(own=labels, partners=partners, share=0.3)
    )
    torch.testing.assert_close(ours, -(target * (1 - p) ** 2 * p.log()).sum(-1))
