"""The losses against torch, against their definitions, and at their limits."""

import itertools

import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

from dermtune.config import Levers
from dermtune.losses import ClassificationLoss, loss_for, smoothed_targets

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
