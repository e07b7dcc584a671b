"""FLOPs an image against closed forms, and which peak a device's name stands for."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from dermtune.config import Config, ModelConfig, TrainingConfig
from dermtune.flops import Work, count_flops, peak_flops
from dermtune.model import describe_model, weightless_model
from dermtune.trainee import flops_of
from tests import so400m
from tests.conftest import DATA, MODELS, VISION

CLASSES = tuple("abcdefg")


def block(tokens: int, width: int, mlp: int) -> tuple[int, int]:
    """Forward FLOPs of a transformer block: of its weights' products, and of its attention's two."""
    return 2 * tokens * (4 * width**2 + 2 * width * mlp), 4 * tokens**2 * width


def patches(side: int, patch: int, width: int) -> int:
    return 2 * (side // patch) ** 2 * 3 * patch**2 * width


def flops(model: ModelConfig, side: int, levers=None, **training):
    config = Config(data=replace(DATA, image_size=side), model=model, training=TrainingConfig(**training))
    return flops_of(config.with_levers(levers or {}), CLASSES)


def test_medsiglip_costs_979_gflop_forward_and_2938_to_train_and_half_a_percent_less_without_its_pooling_head():
    tokens = (so400m.SIDE // so400m.PATCH) ** 2
    embedding = patches(so400m.SIDE, so400m.PATCH, so400m.WIDTH)
    head = 2 * so400m.WIDTH * len(CLASSES)
    forward = so400m.LAYERS * sum(block(tokens, so400m.WIDTH, so400m.MLP)) + embedding + head
    mean = flops(so400m.so400m("mean"), so400m.SIDE)
    assert mean.forward == forward
    assert mean.training == 3 * forward - embedding  # no gradient goes to the pixels
    # One query attends to all patches: keys and values of each, and one image's row of everything else.
    width, mlp = so400m.WIDTH, so400m.MLP
    pooling = 2 * 2 * tokens * width**2 + 2 * 2 * width**2 + 4 * tokens * width + 2 * 2 * width * mlp
    pooled = flops(so400m.so400m("map"), so400m.SIDE)
    assert pooled.forward == forward + pooling
    # The probe's own product with its weights has both its gradients: it is trained too.
    assert pooled.training == 3 * (forward + pooling) - embedding
    assert pooled.forward / 1e9 == pytest.approx(979, abs=0.5)
    assert pooled.training / 1e9 == pytest.approx(2938, rel=0.001)
    assert mean.training / 1e9 == pytest.approx(2920, abs=0.5)


TOKENS, WIDE, DEEP = (VISION["image_size"] // VISION["patch_size"]) ** 2, VISION["hidden_size"], 3
TALL = ModelConfig(architecture="siglip", settings={"vision_config": {**VISION, "num_hidden_layers": DEEP}})


def test_of_a_part_that_is_frozen_only_what_a_trained_one_needs_of_its_gradients_counts():
    weights, attention = block(TOKENS, WIDE, VISION["intermediate_size"])
    head, side = 2 * WIDE * len(CLASSES), VISION["image_size"]
    full = flops(TALL, side)
    assert full.forward == patches(side, VISION["patch_size"], WIDE) + DEEP * (weights + attention) + head
    of_head = flops(TALL, side, {"tuning": "head"})
    assert of_head.forward == full.forward
    assert of_head.training == full.forward + head
    last = flops(TALL, side, {"tuning": "last_k", "tuned_blocks": 1})
    assert last.training == full.forward + 2 * (weights + attention) + 2 * head
    rank = 4
    layer = 2 * TOKENS * WIDE * rank
    adapters = DEEP * 4 * 2 * layer  # two layers beside each of a block's four projections
    lora = flops(TALL, side, {"tuning": "lora", "lora_rank": rank})
    assert lora.forward == full.forward + adapters
    # Frozen weights pass gradients on and get none. Before the first block nothing is trained, so its queries, keys
    # and values, and the layers of their adapters that read the same, pass none on either.
    passed = DEEP * weights - 3 * 2 * TOKENS * WIDE**2
    assert lora.training == lora.forward + passed + 2 * DEEP * attention + 2 * adapters - 3 * layer + 2 * head


def test_a_convolution_costs_two_operations_a_weight_and_place():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
            self.classifier = nn.Linear(8, 5)

        def forward(self, pixel_values):
            class Output:
                logits = self.classifier(self.conv(pixel_values).mean((2, 3)))

            return Output

    with torch.device("meta"):
        counted = count_flops(Net(), 32)
    conv, linear = 2 * 16 * 16 * 8 * 3 * 9, 2 * 8 * 5
    assert counted.forward == conv + linear
    assert counted.training == 2 * conv + 3 * linear


def test_a_trial_that_computes_its_blocks_twice_is_counted_once_and_no_loss_or_precision_changes_a_count():
    plain = flops(TALL, DATA.image_size)
    twice = weightless_model(describe_model(TALL, CLASSES), TALL)
    twice.activation_checkpointing_enable()
    last = 2 * TOKENS * WIDE * VISION["intermediate_size"]  # a block's last product: no gradient needs its result
    again = DEEP * (sum(block(TOKENS, WIDE, VISION["intermediate_size"])) - last)
    assert count_flops(twice, DATA.image_size).training == plain.training + again  # had it been asked for
    assert flops(TALL, DATA.image_size, gradient_checkpointing=True, precision="bfloat16", batch_size=8) == plain
    assert flops(TALL, DATA.image_size, {"focal_gamma": 2.0, "mixup": 0.2, "ema": 0.9}) == plain


def test_counting_draws_none_of_the_numbers_that_weights_are_drawn_from(make_trial):
    before = torch.random.get_rng_state()
    config = Config(data=DATA, model=replace(MODELS["siglip"], pooling="map"), training=TrainingConfig())
    flops_of(config.with_levers({"tuning": "lora", "lora_rank": 3}), CLASSES[:5])
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("device", "bfloat16", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", True, 989.5),
        ("NVIDIA H100 80GB HBM3", False, 67.0),
        ("NVIDIA H100 PCIe", True, 756.0),
        ("NVIDIA H100 NVL", True, 835.5),
        ("NVIDIA H200", True, 989.5),
        ("NVIDIA A100-SXM4-80GB", True, 312.0),
        ("NVIDIA A100 80GB PCIe", True, 312.0),
        ("NVIDIA A10", True, 125.0),
        ("NVIDIA L4", True, 121.0),
        ("NVIDIA L40S", True, 362.0),
        ("NVIDIA GeForce RTX 4090", True, 165.2),
    ],
)
def test_a_devices_peak_is_found_by_its_name(device, bfloat16, tera):
    assert peak_flops(device, bfloat16=bfloat16) == pytest.approx(tera * 1e12)


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        "NVIDIA A10G",
        "NVIDIA L40",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA GeForce RTX 4080 SUPER",
    ],
)
def test_no_peak_is_made_up_for_a_device_that_is_not_known(device):
    assert peak_flops(device, bfloat16=True) is None


def test_utilisation_is_what_the_images_cost_over_what_the_devices_can_do():
    work = Work(flops=2_938_000_000_000, peak=989.5e12)
    rates = work.rates(151.6)
    assert rates["model_tflop_per_second"] == pytest.approx(445.4, abs=0.1)
    assert rates["model_flops_utilisation"] == pytest.approx(0.45, abs=0.001)  # "45% good", at 152 images a second
    assert set(Work(flops=1, peak=None).rates(1.0)) == {"model_tflop_per_second"}


def test_the_history_tells_the_pace_and_the_utilisation_where_the_peak_is_known(
    fit, make_trial, drawn, monkeypatch
):
    trial = make_trial()
    (row, *_) = fit(trial).history
    cost = flops_of(trial.config, drawn.data.classes).training
    assert row["model_tflop_per_second"] == pytest.approx(row["images_per_second"] * cost / 1e12)
    assert 0 < row["data_wait"] < 1
    assert "model_flops_utilisation" not in row
    monkeypatch.setattr("dermtune.train.device_name", lambda: "NVIDIA H100 80GB HBM3")
    (row, *_) = fit(trial).history
    assert row["model_flops_utilisation"] == pytest.approx(row["model_tflop_per_second"] / 67.0)
