"""What a trial is trained on and predicts: the defined loss at the right scale, the last weights, the scores."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from sklearn.metrics import balanced_accuracy_score, log_loss

from dermtune.model import build_model
from dermtune.sampling import PowerSampler
from dermtune.serving import load_classifier
from dermtune.train import train

STEPS = 6
"""Optimiser steps an epoch: 167 images, 32 a step."""

# The levers reach the loss that is trained on, at the right scale.


def defined_losses(logits: torch.Tensor, labels: torch.Tensor, prior: torch.Tensor, levers) -> torch.Tensor:
    """Each image's loss, written down anew from the definition."""
    weights = prior**-levers.prior_weight / (prior**-levers.prior_weight).mean()
    p = (logits + levers.logit_adjustment * prior.log()).softmax(-1)
    n_classes = p.shape[-1]
    targets = torch.full_like(p, levers.label_smoothing / n_classes)
    targets[torch.arange(len(labels)), labels] += 1 - levers.label_smoothing
    if levers.focal_form == "soft":
        return weights[labels] * (-targets * (1 - p) ** levers.focal_gamma * p.log()).sum(-1)
    p_y = p[torch.arange(len(labels)), labels].detach()
    return weights[labels] * (1 - p_y) ** levers.focal_gamma * (-targets * p.log()).sum(-1)


def prior_of(labels: np.ndarray, n_classes: int, power: float) -> torch.Tensor:
    mass = np.bincount(labels, minlength=n_classes) ** (1 - power)
    return torch.tensor(mass / mass.sum(), dtype=torch.float32)


def normalised(images: np.ndarray) -> torch.Tensor:
    """What Siglip reads of uint8 images: channels first, in [-1, 1]."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2) / np.float32(127.5) - 1)


@dataclass
class Step:
    loss: float
    gradient: torch.Tensor


def defined_steps(trial, data) -> list[Step]:
    """Loss and gradient of each step of the first epoch at the initial weights, 32 images a step."""
    levers, labels = trial.config.levers, data.train.label
    transformers.set_seed(trial.seed)
    model = build_model(trial.config.model, data.classes)
    order = np.array(list(PowerSampler(labels, levers.sampler_power, trial.seed)))
    steps = []
    for batch in np.split(order, range(32, len(order), 32)):
        logits = model(pixel_values=normalised(data.train.images[batch])).logits
        prior = prior_of(labels, len(data.classes), levers.sampler_power)
        loss = defined_losses(logits, torch.from_numpy(labels[batch]), prior, levers).mean()
        gradient = torch.autograd.grad(loss, list(model.parameters()))
        steps.append(Step(float(loss.detach()), torch.cat([g.flatten() for g in gradient])))
    return steps


@pytest.fixture
def gradients(monkeypatch) -> list[torch.Tensor]:
    """The gradient of every optimiser step, as it is before clipping."""
    seen: list[torch.Tensor] = []

    def clip(parameters, *args, **kwargs):
        seen.append(torch.cat([p.grad.flatten() for p in parameters]))
        return seen[-1].norm()

    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", clip)
    return seen


@pytest.mark.parametrize(("batch_size", "accumulation"), [(32, 1), (8, 4)])
@pytest.mark.parametrize(
    "levers",
    [
        {},
        {"label_smoothing": 0.1},
        {"focal_gamma": 2.0},
        {"focal_gamma": 2.0, "label_smoothing": 0.1},
        {"focal_gamma": 2.0, "label_smoothing": 0.1, "focal_form": "modulated"},
        {"logit_adjustment": 1.5},
        {"sampler_power": 0.5, "logit_adjustment": 1.0},
        {"prior_weight": 0.5, "label_smoothing": 0.1, "focal_gamma": 2.0},
    ],
    ids=lambda levers: "+".join(levers) or "cross-entropy",
)
def test_every_step_has_the_gradient_of_the_mean_of_the_defined_loss_however_it_is_accumulated(
    fit, make_trial, drawn, gradients, levers, batch_size, accumulation
):
    # A learning rate too small to move the weights holds every step at the initial ones.
    still = {"learning_rate": 1e-12, "weight_decay": 0.0, "epochs": 1, "hflip": False}
    trial = make_trial(levers=levers, batch_size=batch_size, accumulation=accumulation, **still)
    outcome = fit(trial)
    steps = defined_steps(trial, drawn.data)
    assert len(gradients) == len(steps) == STEPS
    for seen, step in zip(gradients, steps, strict=True):
        torch.testing.assert_close(seen, step.gradient, rtol=1e-3, atol=1e-5)
    assert outcome.history[0]["train_loss"] == pytest.approx(np.mean([step.loss for step in steps]), rel=1e-5)


def test_four_batches_of_eight_train_the_model_that_one_batch_of_32_trains(fit, make_trial):
    whole = fit(make_trial(hflip=False))
    accumulated = fit(make_trial(hflip=False, batch_size=8, accumulation=4))
    np.testing.assert_allclose(accumulated.test.logits, whole.test.logits, atol=1e-3)


# What is predicted and recorded.


def test_predictions_are_those_of_the_last_weights_on_the_images_and_on_their_mirror_images(
    fit, make_trial, drawn, tmp_path
):
    trial = make_trial()
    outcome = fit(trial, tmp_path)
    model = build_model(trial.config.model, drawn.data.classes)
    model.load_state_dict(load_file(tmp_path / f"checkpoint-{2 * STEPS}" / "model.safetensors"))
    model.eval()
    for split, predictions in ((drawn.data.val, outcome.val), (drawn.data.test, outcome.test)):
        images = split.images[np.arange(len(split))]
        with torch.no_grad():
            straight = model(pixel_values=normalised(images)).logits
            mirrored = model(pixel_values=normalised(images[:, :, ::-1].copy())).logits
        np.testing.assert_allclose(predictions.logits, straight, atol=1e-5)
        np.testing.assert_allclose(predictions.logits_hflip, mirrored, atol=1e-5)
        assert np.abs(predictions.logits - predictions.logits_hflip).max() > 1e-3
        assert (predictions.sample_id == split.sample_id).all()
        assert (predictions.label == split.label).all()


def test_with_a_running_mean_it_is_the_mean_of_the_weights_that_predicts_and_is_kept(make_trial, drawn, tmp_path):
    trial = make_trial("resnet", levers={"ema": 0.9})
    outcome = train(
        trial, drawn.data, checkpoint=tmp_path, threads=1, on_epoch=lambda history: None, keep_at=tmp_path / "kept"
    )
    means = load_file(tmp_path / f"checkpoint-{2 * STEPS}" / "average.safetensors")
    model = build_model(trial.config.model, drawn.data.classes)
    model.load_state_dict({name.removeprefix("module."): v for name, v in means.items() if name != "n_averaged"})
    model.eval()
    images = drawn.data.test.images[np.arange(len(drawn.data.test))]
    with torch.no_grad():
        np.testing.assert_allclose(outcome.test.logits, model(pixel_values=normalised(images)).logits, atol=1e-5)
    np.testing.assert_allclose(load_classifier(tmp_path / "kept").logits(images), outcome.test.logits, atol=1e-5)
    last = load_file(tmp_path / f"checkpoint-{2 * STEPS}" / "model.safetensors")
    assert not last["classifier.1.weight"].equal(means["module.classifier.1.weight"])


@pytest.mark.parametrize(
    "levers", [{"tuning": "lora", "lora_rank": 2}, {"ldam": 0.5}, {"tuning": "last_k"}], ids=str
)
def test_the_model_that_is_kept_is_a_plain_one_with_the_logits_that_were_judged(
    make_trial, drawn, tmp_path, levers
):
    outcome = train(
        make_trial(levers=levers),
        drawn.data,
        checkpoint=tmp_path,
        threads=1,
        on_epoch=lambda history: None,
        keep_at=tmp_path / "kept",
    )
    images = drawn.data.test.images[np.arange(len(drawn.data.test))]
    np.testing.assert_allclose(load_classifier(tmp_path / "kept").logits(images), outcome.test.logits, atol=1e-5)


def test_the_history_has_a_row_an_epoch_with_the_losses_the_pace_and_the_scores_on_val(fit, make_trial, drawn):
    levers = {"focal_gamma": 2.0, "label_smoothing": 0.1}
    trial = make_trial(levers=levers)
    rows: list[tuple] = []
    outcome = fit(trial, on_epoch=rows.append)
    assert [row["epoch"] for row in outcome.history] == [1.0, 2.0]
    assert rows == [outcome.history[:1], outcome.history]
    last, val, classes = outcome.history[-1], outcome.val, drawn.data.classes
    prior = prior_of(drawn.data.train.label, len(classes), 0.0)
    losses = defined_losses(
        torch.from_numpy(val.logits), torch.from_numpy(drawn.data.val.label), prior, trial.config.levers
    )
    assert last["val_loss"] == pytest.approx(float(losses.mean()), rel=1e-5)
    assert last["val_nll"] == pytest.approx(log_loss(val.label, val.probabilities, labels=range(len(classes))))
    assert last["val_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(val.label, val.logits.argmax(1)))
    assert last["images_per_second"] * last["seconds"] == pytest.approx(len(drawn.data.train))
    assert set(last) == {
        *("epoch", "train_loss", "val_loss", "learning_rate", "seconds", "images_per_second"),
        *("data_wait", "model_tflop_per_second"),
        *("val_top1", "val_top3", "val_balanced_accuracy", "val_macro_f1", "val_ece", "val_nll"),
    }
