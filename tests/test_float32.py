"""The classifier computes in float32 under autocast: logits have all their bits, gradients reach the backbone."""

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from dermtune.config import ModelConfig
from dermtune.float32 import Float32Linear, classify_in_float32
from dermtune.trainee import trainee

CLASSES = tuple("abcdefg")
MOBILENET = ModelConfig(architecture="mobilenet_v2", settings={"image_size": 32, "depth_multiplier": 0.1})


def exact_in_bfloat16(values: np.ndarray) -> float:
    """The share of float32 values that have no more than bfloat16's bits."""
    return float(np.mean((values.view(np.uint32) & 0xFFFF) == 0))


@pytest.mark.parametrize("levers", [{}, {"ldam": 0.5}, {"tuning": "lora"}], ids=str)
def test_logits_of_a_bfloat16_trial_have_the_bits_of_float32_and_do_not_tie(fit, make_trial, levers):
    outcome = fit(make_trial(precision="bfloat16", levers=levers, epochs=1))
    for logits in (outcome.test.logits, outcome.test.logits_hflip, outcome.val.logits):
        assert exact_in_bfloat16(logits) < 0.01
        # Drawn images may be of one colour all over, but not two in a hundred.
        assert len(np.unique(logits[:, 0])) > 0.98 * len(logits)


@pytest.mark.parametrize("model", ["siglip", "resnet", MOBILENET], ids=["siglip", "resnet", "mobilenet_v2"])
def test_every_linear_layer_of_a_classifier_is_one_and_keeps_weights_names_and_gradients(make_trial, model):
    config = make_trial(model, precision="float32").config
    transformers.set_seed(3)
    plain = trainee(config, CLASSES)
    names = list(plain.state_dict())
    pixels = torch.randn(4, 3, 32 if model is MOBILENET else 16, 32 if model is MOBILENET else 16)
    plain.eval()
    before = plain(pixel_values=pixels).logits
    weights = dict(plain.named_parameters())
    classify_in_float32(plain)
    assert any(isinstance(part, Float32Linear) for part in plain.modules())
    assert list(plain.state_dict()) == names
    assert all(parameter is weights[name] for name, parameter in plain.named_parameters())
    assert torch.equal(plain(pixel_values=pixels).logits, before)
    with torch.autocast("cpu", torch.bfloat16):
        logits = plain(pixel_values=pixels).logits
    assert logits.dtype == torch.float32
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in plain.parameters())


def test_making_it_draws_no_random_number():
    layer = nn.Linear(5, 3)
    before = torch.random.get_rng_state()
    made = Float32Linear(layer)
    assert torch.equal(torch.random.get_rng_state(), before)
    features = torch.randn(2, 5)
    assert torch.equal(made(features.bfloat16()), layer(features.bfloat16().float()))
