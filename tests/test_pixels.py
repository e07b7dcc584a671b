"""Pixels against numpy, and mirroring that (seed, step) alone decides."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dermtune.config import ModelConfig, TrainingConfig
from dermtune.pixels import mirrors, pipeline_for

MODEL = ModelConfig(architecture="resnet", pixel_mean=(0.78, 0.53, 0.55), pixel_std=(0.13, 0.15, 0.17))
IMAGES = np.random.default_rng(0).integers(0, 256, (512, 4, 5, 3), dtype=np.uint8)


def pipeline(seed: int = 0, **training):
    return pipeline_for(MODEL, TrainingConfig(**training), seed)


def flipped(seed: int = 0, step: int = 0, **training) -> tuple[np.ndarray, np.ndarray]:
    """Which images an augmentation mirrored left-right, and which top-bottom."""
    pixels = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float()
    made = pipeline(seed, **training)
    shown = made.mirror(pixels, mirrors(made, len(pixels), step)).numpy()
    ways = [pixels.flip(dims).numpy() for dims in ([], [3], [2], [2, 3])]
    same = np.stack([(shown == way).all((1, 2, 3)) for way in ways])
    assert (same.sum(0) == 1).all()
    way = same.argmax(0)
    return (way == 1) | (way == 3), way >= 2


@pytest.mark.parametrize("channels_last", [False, True])
def test_normalisation_is_numpys(channels_last):
    seen = pipeline(channels_last=channels_last).normalise(torch.from_numpy(IMAGES))
    expected = (IMAGES / 255 - MODEL.pixel_mean) / MODEL.pixel_std
    np.testing.assert_allclose(seen, expected.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-6)
    assert seen.dtype == torch.float32
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert seen.is_contiguous(memory_format=layout)


def test_normalisation_leaves_the_images_as_they_were():
    images = torch.from_numpy(IMAGES.copy())
    pipeline().normalise(images)
    assert (images.numpy() == IMAGES).all()


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("vflip", [False, True])
def test_half_of_the_images_are_mirrored_each_way_that_is_asked_for_and_none_another_way(hflip, vflip):
    across, down = flipped(hflip=hflip, vflip=vflip)
    # 512 fair coins: 256 with a standard deviation of 11.3.
    assert across.sum() == pytest.approx(256 if hflip else 0, abs=45)
    assert down.sum() == pytest.approx(256 if vflip else 0, abs=45)


def test_the_two_ways_are_decided_apart():
    across, down = flipped(hflip=True, vflip=True)
    assert (across & down).sum() == pytest.approx(128, abs=40)


def test_seed_and_step_alone_decide_and_one_way_does_not_shift_the_other():
    across, down = flipped(seed=3, step=7, hflip=True, vflip=True)
    assert (flipped(seed=3, step=7, hflip=True, vflip=False)[0] == across).all()
    assert (flipped(seed=3, step=7, hflip=False, vflip=True)[1] == down).all()
    assert (flipped(seed=4, step=7, hflip=True)[0] != across).any()
    assert (flipped(seed=3, step=8, hflip=True)[0] != across).any()


def test_the_pipeline_takes_the_models_colours_and_the_trainings_flips():
    made = pipeline_for(replace(MODEL, pixel_mean=(0.1, 0.2, 0.3)), TrainingConfig(hflip=False, vflip=True), 5)
    assert made.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert made.std.flatten().tolist() == pytest.approx(list(MODEL.pixel_std))
    assert (made.hflip, made.vflip, made.channels_last, made.seed) == (False, True, False, 5)
