"""How a model computes changes no more than roundings: attention, compiled blocks, activations computed twice."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend

from dermtune import kernels
from dermtune.config import ConfigError, ModelConfig
from dermtune.device import strictly_or_else
from dermtune.trainee import check_trainees, trainee
from tests.conftest import VISION

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


def test_one_kernel_of_pytorchs_attention_can_be_asked_for_and_gives_what_its_own_choice_gives(
    fit, make_trial, monkeypatch
):
    asked = []
    attend = kernels.sdpa_attention_forward
    monkeypatch.setattr(
        kernels,
        "sdpa_attention_forward",
        lambda *args, **how: (asked.append(torch.backends.cuda.math_sdp_enabled()), attend(*args, **how))[1],
    )
    chosen = fit(make_trial(epochs=1)).test.logits
    assert asked == []
    flash = fit(make_trial(epochs=1, attention="sdpa_flash", gradient_checkpointing=True)).test.logits
    assert asked
    assert not any(asked)  # flash alone
    assert torch._fused_sdp_choice(*[torch.zeros(1, 2, 8, 8)] * 3) == int(SDPBackend.FLASH_ATTENTION)
    assert (flash == chosen).all()  # which is what PyTorch takes on a CPU by itself


@pytest.mark.parametrize("attention", ["sdpa_efficient", "sdpa_cudnn"])
def test_a_kernel_that_this_machine_has_not_is_refused_with_what_pytorch_says(make_trial, attention):
    config = make_trial(attention=attention).config
    check_trainees({"arm": config}, CLASSES)
    with pytest.raises(ConfigError, match=f"`attention` = '{attention}' cannot be had here: No viable backend"):
        trainee(config, CLASSES)


def test_cudnns_attention_is_refused_the_strict_so_that_a_trial_with_it_says_that_it_gives_other_bits(
    make_trial, monkeypatch
):
    config = make_trial(attention="sdpa_cudnn").config
    monkeypatch.setattr(kernels, "_try_out", lambda kernel, training: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    told = []

    def run(strict):
        with deterministic(strict):
            return kernels._one_of_sdpa(SDPBackend.CUDNN_ATTENTION, config.training)

    strictly_or_else(run, told.append)
    assert told == [
        "would not give the same bits again: cuDNN's attention does not have a deterministic implementation"
    ]


@contextlib.contextmanager
def deterministic(strict):
    torch.use_deterministic_algorithms(True, warn_only=not strict)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def test_float32_and_a_package_that_has_none_are_refused_together_in_the_driver(make_trial):
    arms = {"odd": make_trial(attention="flash_attention_2", precision="float32").config}
    with pytest.raises(
        ConfigError, match=r"`precision` must not be 'float32' with .* 'flash_attention_2'.* in arm 'odd'"
    ):
        check_trainees(arms, CLASSES)


def test_attention_that_an_architecture_has_not_is_refused_in_the_driver(make_trial):
    for attention in ("sdpa", "eager", "flash_attention_2", "sdpa_cudnn"):
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


@pytest.fixture
def graphs(monkeypatch):
    """The code of each graph that runs, of as many blocks as a model has."""
    ran: list[str] = []

    def recorded(module, inputs):
        return lambda *args: (ran.append(module.code), module.forward(*args))[1]

    monkeypatch.setattr(kernels, "COMPILER", recorded)
    return ran


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_which_graphs_a_pass_runs_depends_on_no_pass_before_it_and_on_no_trial_before(
    make_trial, graphs, monkeypatch
):
    blocks = 2
    model = ModelConfig(architecture="siglip", settings={"vision_config": {**VISION, "num_hidden_layers": blocks}})
    config = make_trial(model, compile=True).config

    def run(*passes):
        """The graphs of the last pass of a new trial."""
        trained = trainee(config, CLASSES).train()
        for n in passes:
            graphs.clear()
            trained(pixel_values=torch.zeros(n, 3, 16, 16)).logits.sum().backward()
        return list(graphs)

    fresh = run(64)
    assert len(fresh) == blocks
    assert run(64, 39, 64) == fresh  # a resumed trial begins behind the pass of what was left of its epoch
    assert run(*range(2, 11), 64) == fresh  # and no number of sizes is too large
    assert run(39) != fresh
    monkeypatch.setattr(kernels, "GRAPHS", 1)
    assert len(run(63)) == blocks  # a worker's trials before it take none of what a trial may have


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_a_compiled_block_has_the_kernel_that_was_asked_for_in_its_one_graph(make_trial, graphs):
    trained = trainee(make_trial(compile=True, attention="sdpa_flash").config, CLASSES).train()
    trained(pixel_values=torch.zeros(4, 3, 16, 16)).logits.sum().backward()
    (code,) = graphs
    before, _ = code.split("scaled_dot_product_attention(")
    assert "nn.attention._sdpa_kernel(" in before
    assert "sdpa_kernel" not in str(trained.config.to_dict())  # a kept model is any machine's


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_blocks_stay_near_the_plain_ones(fit, make_trial):
    plain, compiled = fit(make_trial()), fit(make_trial(compile=True))
    np.testing.assert_allclose(compiled.test.logits, plain.test.logits, atol=1e-3)


@pytest.mark.parametrize("model", ["siglip", "vit"])
def test_activations_that_are_computed_twice_give_the_same_gradients(make_trial, model):
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
