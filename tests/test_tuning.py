"""What each tuning trains, what stays as it was, and that adapters are peft's own and can be merged."""

import numpy as np
import pytest
import torch
from torch import nn

from dermtune.config import ConfigError, Levers, ModelConfig
from dermtune.cosine import compare_directions
from dermtune.model import build_model
from dermtune.tuning import merge_adapters, tune
from tests.conftest import MODELS, VISION

CLASSES = ("acne", "eczema", "tinea")
DEEP = ModelConfig(architecture="siglip", settings={"vision_config": {**VISION, "num_hidden_layers": 3}})
VIT = ModelConfig(
    architecture="vit",
    settings={**VISION, "num_hidden_layers": 2, "hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5},
)
IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def tuned(model: ModelConfig, **levers):
    torch.manual_seed(0)
    built = build_model(model, CLASSES)
    tune(built, Levers(**levers))
    return built


def trained(model) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(pixel_values=IMAGES).logits


def test_the_last_blocks_train_with_what_comes_behind_them_and_nothing_before():
    names = trained(tuned(DEEP, tuning="last_k", tuned_blocks=2))
    layers = {name.split("layers.")[1][0] for name in names if "layers." in name}
    assert layers == {"1", "2"}
    assert {"classifier.weight", "classifier.bias"} <= names
    assert any("post_layernorm" in name for name in names)
    assert not any("embeddings" in name for name in names)


def test_all_blocks_of_a_convolutional_network_are_its_stages():
    names = trained(tuned(MODELS["resnet"], tuning="last_k"))
    assert {name.split("stages.")[1][0] for name in names if "stages." in name} == {"1"}
    assert not any("embedder" in name for name in names)


def test_frozen_statistics_stay_and_those_of_trained_blocks_move():
    model = tuned(MODELS["resnet"], tuning="last_k").train()
    before = {name: value.clone() for name, value in model.named_buffers() if "running" in name}
    logits(model)
    moved = {name for name, value in model.named_buffers() if "running" in name and not value.equal(before[name])}
    assert moved == {name for name in before if "stages.1" in name}


def test_frozen_parts_do_not_drop_out_and_trained_blocks_do():
    assert logits(tuned(VIT, tuning="head").train()).equal(logits(tuned(VIT, tuning="head").eval()))
    assert not logits(tuned(VIT, tuning="last_k").train()).equal(logits(tuned(VIT, tuning="last_k").eval()))


@pytest.mark.parametrize(("model", "n"), [(DEEP, 12), (VIT, 8)], ids=["siglip", "vit"])
def test_adapters_stand_beside_every_attention_projection_and_change_nothing_at_first(model, n):
    adapted = tuned(model, tuning="lora", lora_rank=2)
    lora = [name for name in trained(adapted) if ".lora_" in name]
    assert len(lora) == 2 * n
    assert trained(adapted) - set(lora) == {"classifier.weight", "classifier.bias"}
    torch.testing.assert_close(logits(adapted.eval()), logits(tuned(model).eval()))


def test_an_adapted_layer_is_w_plus_alpha_over_r_times_b_a_and_so_is_the_merged_one():
    model = tuned(DEEP, tuning="lora", lora_rank=2, lora_alpha=6)
    layer = model.vision_model.encoder.layers[0].self_attn.q_proj
    nn.init.normal_(layer.lora_B["default"].weight)
    weight = layer.base_layer.weight + 6 / 2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    adapted = logits(model.eval())
    merge_adapters(model)
    torch.testing.assert_close(model.vision_model.encoder.layers[0].self_attn.q_proj.weight, weight)
    torch.testing.assert_close(logits(model), adapted)
    assert set(model.state_dict()) == set(tuned(DEEP).state_dict())


def test_what_a_model_has_not_cannot_be_tuned():
    with pytest.raises(ConfigError, match="`tuning` must not be 'lora' with resnet, which has no attention"):
        tuned(MODELS["resnet"], tuning="lora")
    with pytest.raises(ConfigError, match="`tuned_blocks` must be at most 3 with this siglip, got 4"):
        tuned(DEEP, tuning="last_k", tuned_blocks=4)


@pytest.mark.parametrize("model", [DEEP, MODELS["resnet"]], ids=["siglip", "resnet"])
def test_a_cosine_classifier_gives_thirty_times_the_cosine_of_features_and_class_weights(model):
    built = tuned(model).eval()
    compare_directions(built)
    heard: list[torch.Tensor] = []
    layer = next(part for part in built.classifier.modules() if isinstance(part, nn.Linear))
    layer.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    seen = logits(built).numpy()
    features, weights = heard[0].detach().numpy(), layer.weight.detach().numpy()
    norms = np.linalg.norm(features, axis=1)[:, None] * np.linalg.norm(weights, axis=1)
    np.testing.assert_allclose(seen, 30 * features @ weights.T / norms, rtol=1e-4, atol=1e-4)
