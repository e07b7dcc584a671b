"""Heads on kept features: the same results as the whole model in the Trainer, alone or many in one program."""

import numpy as np
import pytest

from dermtune.frozen.training import train_bundle
from dermtune.train import Outcome

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
"""Of logits from 0.1 to 10. Features are computed in batches of other sizes than the Trainer's and products are
summed in another order, so that both differ in the last bit of a float32, 1e-7 of a number near 1; measured: 3e-7 of
the largest logit."""

LEVERS = {
    "plain": {},
    "focal and smoothing": {"focal_gamma": 2.0, "label_smoothing": 0.1},
    "modulated focal": {"focal_gamma": 1.5, "focal_form": "modulated", "label_smoothing": 0.1},
    "sampler": {"sampler_power": 1.0},
    "progressive sampler": {"sampler_power": 0.5, "sampler_schedule": "progressive", "logit_adjustment": 1.0},
    "logit adjustment": {"logit_adjustment": 1.0},
    "class weights": {"prior_weight": 0.5},
    "ldam-drw": {"ldam": 0.5, "effective_number": 0.999, "drw": 0.5},
    "cosine with a mean": {"ldam": 0.3, "ema": 0.5},
    "mean of weights": {"ema": 0.9},
    "learning rate": {"learning_rate_factor": 3.0},
}


def head(make_trial, levers=None, **training):
    return make_trial(training.pop("model", "resnet"), levers={"tuning": "head", **(levers or {})}, **training)


def bundle(drawn, *trials, on_epoch=lambda histories: None):
    return train_bundle(
        trials, drawn.data, drawn.place, threads=1, on_epoch=on_epoch, on_progress=lambda what: None
    )


def alone(drawn, trial) -> Outcome:
    outcome = bundle(drawn, trial)[trial.trial_id]
    assert isinstance(outcome, Outcome)
    return outcome


def assert_close(one: Outcome, other: Outcome) -> None:
    for split in ("val", "test"):
        ours, theirs = getattr(one, split), getattr(other, split)
        np.testing.assert_allclose(ours.logits, theirs.logits, **TOLERANCE)
        np.testing.assert_allclose(ours.logits_hflip, theirs.logits_hflip, **TOLERANCE)
        np.testing.assert_array_equal(ours.sample_id, theirs.sample_id)
    for ours, theirs in zip(one.history, other.history, strict=True):
        assert list(ours) == list(theirs)
        timed = ("seconds", "images_per_second")
        for name in ("epoch", "learning_rate", "train_loss", "val_loss"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-5), name
        assert all(ours[name] > 0 for name in timed)


def bits(outcome) -> bytes:
    return b"".join(p.logits.tobytes() + p.logits_hflip.tobytes() for p in (outcome.val, outcome.test))


@pytest.mark.parametrize("levers", LEVERS.values(), ids=LEVERS.keys())
def test_a_head_on_kept_features_is_the_one_that_the_trainer_trains_on_images(drawn, make_trial, fit, levers):
    trial = head(make_trial, levers, vflip=True, warmup_fraction=0.3, learning_rate=0.02)
    assert_close(alone(drawn, trial), fit(trial))
