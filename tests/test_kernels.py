"""How a model computes changes no more than roundings: attention, compiled blocks, activations computed twice."""

import numpy as np
import pytest
import torch
from torch import nn

from dermtune.config import ConfigError
from dermtune.trainee import check_trainees, trainee

CLASSES = tuple("abcdefg")


def test_eager_attention_trains_the_model_that_the_fused_one_trains(fit, make_trial):
    automatic, fused, eager = (
        fit(make_trial(attention=attention)).test.logits for attention in ("auto", "sdpa", "eager")
    )
    assert (fused == automatic).all()  # what transformers takes by itself
    assert (eager != fused).any()
    np.testing.assert_allclose(eager, fused, atol=1e-4)


def test_the_choice_reaches_the_model(make_trial):
    model = trainee(make_trial(attention="eager").config, CLASSES)
    assert model.config._attn_implementation == "eager"
    assert model.vision_model.config._attn_implementation == "eager"


def test_attention_that_an_architecture_has_not_is_refused_in_the_driver(make_trial):
    for attention in ("sdpa", "eager", "flash_attention_2"):
        arms = {"plain": make_trial("resnet").config, "odd": make_trial("resnet", attention=attention).config}
        with pytest.raises(ConfigError, match=f"`attention` must be 'auto' with resnet, got '{attention}' in arm"):
            check_trainees(arms, CLASSES)


def test_attention_that_this_machine_has_not_is_refused_where_it_trains(make_trial):
    config = make_trial(attention="flash_attention_2").config
    check_trainees({"arm": config}, CLASSES)  # a driver need not have it
    with pytest.raises(ConfigError, match=r"`attention` = 'flash_attention_2' cannot be had here: FlashAttention2"):
        trainee(config, CLASSES)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own tracing looks at it
@pytest.mark.parametrize("levers", [{"ema": 0.9}, {"tuning": "lora", "lora_rank": 2}], ids=str)
def test_compiled_blocks_that_are_not_optimised_give_the_same_bits(fit, make_trial, monkeypatch, levers):
    plain = fit(make_trial(levers=levers, epochs=1))
    monkeypatch.setattr("dermtune.kernels.COMPILER", "eager")
    seen = []
    compile_ = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **how: (seen.append(self), compile_(self, **how)))
    compiled = fit(make_trial(levers=levers, epochs=1, compile=True))
    assert [type(block).__name__ for block in seen] == ["SiglipEncoderLayer"]
    assert (compiled.test.logits == plain.test.logits).all()
    assert (compiled.val.logits_hflip == plain.val.logits_hflip).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_blocks_stay_near_the_plain_ones(fit, make_trial):
    plain, compiled = fit(make_trial()), fit(make_trial(compile=True))
    np.testing.assert_allclose(compiled.test.logits, plain.test.logits, atol=1e-3)


@pytest.mark.parametrize("model", ["siglip", "vit"])
def test_activations_that_are_computed_twice_give_the_same_gradients(make_trial, model):
    from dermtune.config import ModelConfig
    from tests.conftest import VISION

    built = model if model == "siglip" else ModelConfig(architecture="vit", settings=VISION)
    trained = trainee(make_trial(built).config, CLASSES)
    trained.train()
    pixels = torch.randn(5, 3, 16, 16)
    found = []
    for twice in (False, True):
        if twice:
            trained.activation_checkpointing_enable()
        trained.zero_grad()
        trained(pixel_values=pixels).logits.square().sum().backward()
        found.append(torch.cat([parameter.grad.flatten() for parameter in trained.parameters()]))
    assert torch.equal(*found)
