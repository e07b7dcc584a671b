"""Models built with fresh weights or fine-tuned from a checkpoint, and what is told where one cannot be had."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.utils import httpx
from huggingface_hub.utils._http import default_client_factory
from safetensors.torch import load_file
from transformers import SiglipVisionConfig, SiglipVisionModel

from dermtune.config import ModelConfig
from dermtune.model import ModelError, build_model, describe_model
from dermtune.recipes import medsiglip

CLASSES = ("acne", "eczema", "tinea")
PAGE = "https://huggingface.co/google/medsiglip-448"


def seeded(config: ModelConfig, seed: int = 0, classes: tuple[str, ...] = CLASSES):
    torch.manual_seed(seed)
    return build_model(config, classes)


def fine_tuned(folder: Path, **changes) -> ModelConfig:
    """The medsiglip recipe's model with another checkpoint in its place."""
    return replace(medsiglip().config.model, checkpoint=str(folder), **changes)


def message(config: ModelConfig) -> str:
    with pytest.raises(ModelError) as caught:
        build_model(config, CLASSES)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


# Fresh weights.


@pytest.mark.parametrize("model", ["siglip", "resnet"])
def test_fresh_weights_are_a_function_of_the_seed(make_trial, model):
    config = make_trial(model).config.model
    one, same, other = (torch.cat([p.flatten() for p in seeded(config, s).parameters()]) for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("pooling", ["mean", "map"])
def test_no_weight_of_a_siglip_is_left_without_a_gradient(make_trial, images, pooling):
    model = seeded(replace(make_trial("siglip").config.model, pooling=pooling))
    model(pixel_values=images).logits.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_an_architecture_that_transformers_maps_to_several_classifiers_takes_the_plain_one(images):
    sizes = {"image_size": 16, "patch_size": 8, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    model = seeded(ModelConfig(architecture="deit", settings={**sizes, "num_attention_heads": 2}))
    assert model(pixel_values=images).logits.shape == (4, len(CLASSES))


# Fine-tuning a checkpoint: the way that MedSigLIP goes, at a small size.


@pytest.mark.parametrize("pooling", ["mean", "map"])
def test_a_checkpoint_gives_its_backbone_in_float32_and_the_head_is_fresh_for_each_seed(siglip_checkpoint, pooling):
    stored = load_file(siglip_checkpoint / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.bfloat16}
    config = fine_tuned(siglip_checkpoint, pooling=pooling)
    weights = dict(seeded(config).named_parameters())
    head = {name for name in weights if name.startswith("classifier.")}
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert all(torch.equal(weights[name], stored[name].float()) for name in weights.keys() - head)
    assert ("vision_model.head.probe" in weights) == (pooling == "map")
    assert weights["classifier.weight"].shape == (len(CLASSES), 16)
    assert torch.equal(seeded(config).classifier.weight, weights["classifier.weight"])
    assert not torch.equal(seeded(config, seed=1).classifier.weight, weights["classifier.weight"])


@pytest.mark.parametrize("pooling", ["mean", "map"])
def test_the_classifier_reads_the_mean_of_the_patches_or_the_attention_pooled_image(
    siglip_checkpoint, images, pooling
):
    model = seeded(fine_tuned(siglip_checkpoint, pooling=pooling)).eval()
    # transformers' own vision tower with the same weights is the reference.
    tower = SiglipVisionModel.from_pretrained(siglip_checkpoint, dtype=torch.float32).eval()
    with torch.no_grad():
        read = tower(images)
        pooled = read.last_hidden_state.mean(1) if pooling == "mean" else read.pooler_output
        torch.testing.assert_close(model(pixel_values=images).logits, model.classifier(pooled))


@pytest.mark.parametrize("classes", [CLASSES, ("naevus", "melanoma", "PIH"), (*CLASSES, "herpes")])
def test_a_head_that_comes_with_the_checkpoint_is_never_used(siglip_checkpoint, tmp_path, classes):
    earlier = seeded(fine_tuned(siglip_checkpoint))
    earlier.save_pretrained(tmp_path / "classifier")
    one, other = (seeded(fine_tuned(tmp_path / "classifier"), seed, classes) for seed in (0, 1))
    assert one.classifier.weight.shape == (len(classes), 16)
    assert not torch.equal(one.classifier.weight[:3], earlier.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    assert torch.equal(one.vision_model.post_layernorm.weight, earlier.vision_model.post_layernorm.weight)
    assert one.config.id2label == dict(enumerate(classes))


@pytest.mark.parametrize("pooling", ["mean", "map"])
def test_a_fine_tuning_on_the_medsiglip_recipe_learns_and_resumes_with_the_same_bits(
    fit, make_trial, siglip_checkpoint, tmp_path, pooling
):
    trial = make_trial(
        fine_tuned(siglip_checkpoint, pooling=pooling),
        batch_size=8,
        accumulation=4,
        weight_decay=0.01,
        warmup_fraction=0.0,
        learning_rate=5e-3,
    )
    first = fit(trial, tmp_path)
    shutil.rmtree(max(tmp_path.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2])))
    again = fit(trial, tmp_path)
    np.testing.assert_array_equal(again.test.logits, first.test.logits)
    assert first.history[1]["train_loss"] < first.history[0]["train_loss"]


def test_a_checkpoint_may_lie_in_the_home_folder(siglip_checkpoint, monkeypatch):
    monkeypatch.setenv("HOME", str(siglip_checkpoint.parent))
    there, home = seeded(fine_tuned(siglip_checkpoint)), seeded(fine_tuned(Path("~/weights")))
    assert all(torch.equal(a, b) for a, b in zip(there.parameters(), home.parameters(), strict=True))


# Checkpoints that are refused.


def pickle_weights(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (pickle_weights, "never pickled: Error no file named model.safetensors"),
        (cut_weights, "Error while deserializing header"),
        (lambda folder: (folder / "config.json").unlink(), "Should have a `model_type` key in its config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "is not a valid JSON file"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "x"}'), "has model type `x`"),
        (shutil.rmtree, "there is no such folder"),
    ],
    ids=["pickled", "truncated", "no config", "broken config", "unknown type", "nothing there"],
)
def test_a_folder_without_readable_safetensors_is_refused_with_what_it_lacks(siglip_checkpoint, damage, told):
    damage(siglip_checkpoint)
    line = message(fine_tuned(siglip_checkpoint))
    assert line.startswith(f"{siglip_checkpoint} must be a folder with config.json and weights as safetensors")
    assert told in line


@pytest.mark.parametrize(("size", "value", "n"), [("num_hidden_layers", 2, 16), ("intermediate_size", 48, 3)])
def test_a_backbone_that_would_start_from_noise_in_part_is_refused(siglip_checkpoint, size, value, n):
    described = json.loads((siglip_checkpoint / "config.json").read_text())
    described["vision_config"][size] = value
    (siglip_checkpoint / "config.json").write_text(json.dumps(described))
    assert f"all but its `classifier`, {n} are missing or of another shape: vision_model.encoder" in message(
        fine_tuned(siglip_checkpoint)
    )


def test_attention_pooling_is_refused_where_the_checkpoint_has_none(tmp_path, siglip_checkpoint):
    seeded(fine_tuned(siglip_checkpoint, pooling="mean")).save_pretrained(tmp_path / "mean")
    assert "11 are missing or of another shape: vision_model.head" in message(
        fine_tuned(tmp_path / "mean", pooling="map")
    )


# The hub, answered here: no test reaches the network.


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Puts a hub in place that answers every request with one status and error code."""

    def answering(status: int, code: str | None) -> None:
        def answer(request):
            return httpx.Response(status, headers={"X-Error-Code": code} if code else {}, request=request)

        huggingface_hub.set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(answer)))

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    yield answering
    huggingface_hub.set_client_factory(default_client_factory)


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (403, "GatedRepo", f"google/medsiglip-448 is gated: accept its licence at {PAGE}, then put a read token"),
        (401, "GatedRepo", f"google/medsiglip-448 is gated: accept its licence at {PAGE}, then put a read token"),
        (404, "RepoNotFound", f"must be a hub id that HF_TOKEN may read, or a local folder: check {PAGE}"),
        (401, None, f"must be a hub id that HF_TOKEN may read, or a local folder: check {PAGE}"),
        (404, "RevisionNotFound", f"(see {PAGE}; a gated model needs HF_TOKEN)"),
    ],
    ids=["no licence", "no token for a gated model", "no such model", "a refused token", "no such revision"],
)
def test_what_the_hub_refuses_is_told_with_the_page_and_the_variable(hub, status, code, told):
    hub(status, code)
    line = message(medsiglip().config.model)
    assert told in line
    assert "HF_TOKEN" in line


def test_without_the_network_the_way_online_and_the_local_way_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    line = message(medsiglip().config.model)
    assert "is not on this machine and the hub cannot be reached" in line
    assert PAGE in line
    assert "HF_TOKEN" in line
    assert "local folder" in line


# Settings that are refused, before any trial starts.


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (ModelConfig(architecture="sigclip"), "got 'sigclip' with {}: Unrecognized model identifier"),
        (ModelConfig(architecture="bert"), "with an image classifier in transformers, .* got 'bert'"),
        (
            ModelConfig(architecture="resnet", settings={"hiden_sizes": [8]}),
            "`settings` must be arguments of ResNetConfig, got 'hiden_sizes'",
        ),
        (
            ModelConfig(architecture="siglip", settings={"vision_config": {"hiden_size": 8}}),
            "`settings.vision_config` must be arguments of SiglipVisionConfig, got 'hiden_size'",
        ),
        (ModelConfig(architecture="resnet", settings={"depths": "deep"}), "Validation error for field 'depths'"),
        (ModelConfig(architecture="resnet", pooling="map"), "'map' must go with a siglip model, got 'resnet'"),
    ],
    ids=["unknown type", "no image model", "misspelt", "misspelt inside", "wrong kind", "pooling"],
)
def test_settings_that_describe_no_image_classifier_are_refused_before_weights_are_made(config, told):
    with pytest.raises(ModelError, match=told) as caught:
        describe_model(config, CLASSES)
    assert len(str(caught.value)) < 500


def test_sizes_that_do_not_fit_together_are_told_with_the_settings():
    settings = {"vision_config": {"hidden_size": 65}}
    assert "{'vision_config': {'hidden_size': 65}}: embed_dim must be divisible by num_heads" in message(
        ModelConfig(architecture="siglip", settings=settings)
    )


def test_the_description_names_the_classes_and_leaves_the_random_stream_alone(make_trial):
    before = torch.get_rng_state()
    described = describe_model(make_trial("siglip").config.model, CLASSES)
    assert described.id2label == dict(enumerate(CLASSES))
    assert isinstance(described.vision_config, SiglipVisionConfig)
    assert torch.equal(torch.get_rng_state(), before)
