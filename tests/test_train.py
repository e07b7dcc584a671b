"""One trial's training: the same bits always, also after a kill; arms paired by seed; what cannot be trained."""

import pickle
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from dermtune.config import ConfigError
from dermtune.ledger import Diverged
from dermtune.model import ModelError, build_model
from dermtune.pixels import PixelPipeline
from dermtune.trainer import PACE

ROOT = Path(__file__).parents[1]
STEPS = 6
"""Optimiser steps an epoch: 167 images, 32 a step."""

ELSEWHERE = """
import itertools, os, pickle, signal, sys
from dermtune.data.dataset import open_dataset
from dermtune.pixels import PixelPipeline
from dermtune.train import train

trial, place, checkpoint, fatal_step = pickle.load(sys.stdin.buffer)
mirror, steps = PixelPipeline.mirror, itertools.count()

def mirror_or_die(self, pixels, ways):
    if next(steps) == fatal_step:
        os.kill(os.getpid(), signal.SIGKILL)
    return mirror(self, pixels, ways)

PixelPipeline.mirror = mirror_or_die
data = open_dataset(trial.config.data, place)
outcome = train(trial, data, checkpoint=checkpoint, threads=1, on_epoch=lambda history: None)
(checkpoint / "outcome").write_bytes(pickle.dumps(outcome))
"""


def fit_elsewhere(trial, place, checkpoint: Path, *, fatal_step: int | None = None) -> int:
    """Exit code of a process of its own that trains the trial, and is killed at a step where one is named."""
    given = pickle.dumps((trial, place, checkpoint, fatal_step))
    return subprocess.run([sys.executable, "-c", ELSEWHERE], input=given, cwd=ROOT, check=False).returncode


def bits(outcome) -> bytes:
    """All that a trial predicts."""
    return b"".join(p.logits.tobytes() + p.logits_hflip.tobytes() for p in (outcome.val, outcome.test))


def untimed(history) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k not in PACE} for row in history]


# The same trial gives the same bits.


@pytest.mark.parametrize("model", ["siglip", "resnet"])
def test_a_trial_gives_the_same_bits_whatever_its_process_trained_before(fit, make_trial, model):
    first = fit(make_trial(model))
    others = [fit(make_trial("resnet", seed=1)), fit(make_trial(levers={"sampler_power": 1.0}, accumulation=2))]
    again = fit(make_trial(model))
    assert bits(again) == bits(first)
    assert untimed(again.history) == untimed(first.history)
    assert bits(first) not in [bits(other) for other in others]


def test_a_trial_gives_the_same_bits_in_a_fresh_process(fit, make_trial, drawn, tmp_path):
    assert fit_elsewhere(make_trial("resnet"), drawn.place, tmp_path) == 0
    assert bits(pickle.loads((tmp_path / "outcome").read_bytes())) == bits(fit(make_trial("resnet")))


CHANGING = {
    "ema": 0.9,
    "mixup": 0.2,
    "sampler_power": 1.0,
    "sampler_schedule": "progressive",
    "prior_weight": 0.5,
    "drw": 0.5,
}
"""Levers whose state or course a resumed trial must find again."""


@pytest.mark.parametrize("levers", [{}, CHANGING], ids=["baseline", "levers that change by step or epoch"])
def test_a_trial_killed_in_its_second_epoch_goes_on_from_the_first_and_ends_with_the_same_bits(
    fit, make_trial, drawn, tmp_path, levers
):
    trial = make_trial("resnet", levers=levers, epochs=3, vflip=True)
    assert fit_elsewhere(trial, drawn.place, tmp_path, fatal_step=STEPS + 3) == -9
    epochs: list[int] = []
    resumed = fit(trial, tmp_path, on_epoch=lambda history: epochs.append(len(history)))
    undisturbed = fit(trial)
    assert epochs == [2, 3]
    assert bits(resumed) == bits(undisturbed)
    assert untimed(resumed.history) == untimed(undisturbed.history)


@pytest.mark.parametrize("levers", [{}, {"tuning": "lora"}, {"ldam": 0.5}, {"ema": 0.9}], ids=str)
def test_a_trial_whose_epochs_are_all_done_only_predicts(fit, make_trial, tmp_path, levers):
    trial = make_trial(levers=levers)
    first = fit(trial, tmp_path)
    epochs: list[int] = []
    again = fit(trial, tmp_path, on_epoch=lambda history: epochs.append(len(history)))
    assert epochs == []
    assert bits(again) == bits(first)
    assert again.history == first.history


@pytest.mark.parametrize("broken", ["model.safetensors", "rng_state.pth"])
def test_a_truncated_newest_checkpoint_is_passed_over_for_the_one_before(fit, make_trial, tmp_path, broken):
    trial = make_trial(batch_size=16, accumulation=2)
    first = fit(trial, tmp_path)
    damaged = tmp_path / f"checkpoint-{2 * STEPS}" / broken
    damaged.write_bytes(damaged.read_bytes()[:50])
    epochs: list[int] = []
    again = fit(trial, tmp_path, on_epoch=lambda history: epochs.append(len(history)))
    assert epochs == [2]
    assert bits(again) == bits(first)


def test_two_checkpoints_are_kept_and_no_more(fit, make_trial, tmp_path):
    fit(make_trial(epochs=4), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"checkpoint-{3 * STEPS}", f"checkpoint-{4 * STEPS}"}


# Arms are paired by seed.


@dataclass
class Watched:
    """What a training starts from and what it is shown."""

    weights: list[bytes] = field(default_factory=list)
    order: list[bytes] = field(default_factory=list)
    mirrored: list[list[bool]] = field(default_factory=list)


@pytest.fixture
def watch(fit, monkeypatch):
    """Trains a trial and tells what it started from and was shown."""

    def run(trial) -> Watched:
        watched = Watched()

        def build(*args):
            model = build_model(*args)
            watched.weights.append(b"".join(p.detach().numpy().tobytes() for p in model.parameters()))
            return model

        def mirror(self, pixels, ways):
            shown = PixelPipeline.mirror(self, pixels, ways)
            watched.order.append(pixels.numpy().tobytes())
            watched.mirrored.append((shown != pixels).flatten(1).any(1).tolist())
            return shown

        with monkeypatch.context() as patched:
            pipeline = type("Watching", (PixelPipeline,), {"mirror": mirror})
            patched.setattr("dermtune.trainee.build_model", build)
            patched.setattr("dermtune.pixels.PixelPipeline", pipeline)
            fit(trial)
        assert len(watched.mirrored) == 2 * STEPS
        return watched

    return run


def test_arms_with_one_seed_share_initial_weights_order_and_mirroring(watch, make_trial):
    baseline = watch(make_trial())
    assert watch(make_trial(levers={"focal_gamma": 2.0})) == baseline
    assert watch(make_trial(levers={"label_smoothing": 0.1, "logit_adjustment": 1.0})) == baseline
    assert watch(make_trial(levers={"mixup": 1.0, "ema": 0.9, "prior_weight": 1.0})) == baseline


def test_arms_with_one_sampler_power_share_the_order_and_a_further_power_keeps_weights_and_mirroring(
    watch, make_trial
):
    natural = watch(make_trial())
    balanced = watch(make_trial(levers={"sampler_power": 1.0}))
    assert watch(make_trial(levers={"sampler_power": 1.0, "focal_gamma": 2.0})) == balanced
    assert balanced.weights == natural.weights
    assert balanced.mirrored == natural.mirrored
    assert not set(balanced.order) & set(natural.order)


def test_another_seed_starts_elsewhere_and_sees_another_order_and_other_mirroring(watch, make_trial):
    one, other = watch(make_trial(seed=0)), watch(make_trial(seed=1))
    assert one.weights != other.weights
    assert not set(one.order) & set(other.order)
    assert all(a != b for a, b in zip(one.mirrored, other.mirrored, strict=True))


def test_no_two_epochs_of_a_trial_have_the_same_order_or_mirroring(watch, make_trial):
    watched = watch(make_trial())
    assert len(set(watched.order)) == 2 * STEPS
    assert watched.mirrored[:STEPS] != watched.mirrored[STEPS:]


# Ways to run the same arithmetic.


def test_channels_last_changes_the_speed_and_not_the_predictions(fit, make_trial):
    plain, channels_last = fit(make_trial("resnet")), fit(make_trial("resnet", channels_last=True))
    np.testing.assert_allclose(channels_last.test.logits, plain.test.logits, atol=1e-4)


def test_recomputing_activations_saves_memory_and_changes_nothing(fit, make_trial):
    assert bits(fit(make_trial(gradient_checkpointing=True))) == bits(fit(make_trial()))


def test_bfloat16_runs_on_a_cpu_and_stays_near_float32(fit, make_trial):
    exact, rounded = fit(make_trial(precision="float32")), fit(make_trial(precision="bfloat16"))
    np.testing.assert_allclose(rounded.test.logits, exact.test.logits, atol=0.1)
    assert bits(rounded) != bits(exact)
    assert bits(exact) == bits(fit(make_trial(precision="auto")))


# What cannot be trained.


def test_a_loss_that_is_no_number_any_more_ends_the_trial_with_its_epoch(fit, make_trial):
    with pytest.raises(Diverged, match="training loss is nan in epoch 1"):
        fit(make_trial("resnet", learning_rate=1e20))


def test_a_loss_that_turns_infinite_in_a_later_epoch_is_told_with_that_epoch(fit, make_trial, monkeypatch):
    class Bursting:
        """A loss that is infinite after the first epoch's training steps."""

        steps = 0

        def __call__(self, logits, labels):
            self.steps += logits.requires_grad
            return logits.sum(-1) * (float("inf") if self.steps > STEPS else 1.0)

    bursting = Bursting()
    monkeypatch.setattr("dermtune.curriculum.loss_for", lambda levers, prior: bursting)
    with pytest.raises(Diverged, match=r"training loss is (nan|-?inf) in epoch 2"):
        fit(make_trial())


def test_weights_that_burst_in_the_last_step_are_found_by_their_logits(fit, make_trial):
    one_step = {"epochs": 1, "batch_size": 200, "warmup_fraction": 0.0, "schedule": "constant_with_warmup"}
    with pytest.raises(Diverged, match="logits are not finite after epoch 1"):
        fit(make_trial(learning_rate=1e20, **one_step))


def test_images_of_another_size_than_the_models_are_refused(fit, make_trial):
    trial = make_trial()
    vision = {**trial.config.model.settings["vision_config"], "image_size": 32}
    with pytest.raises(ModelError, match="`image_size` of the data must be the model's, 32, got 16"):
        fit(make_trial(replace(trial.config.model, settings={"vision_config": vision})))


def test_recomputation_is_refused_where_the_architecture_has_none(fit, make_trial):
    with pytest.raises(ConfigError, match="`gradient_checkpointing` must be False with resnet"):
        fit(make_trial("resnet", gradient_checkpointing=True))
