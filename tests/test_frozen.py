"""Heads on kept features: the same results as the whole model in the Trainer, alone or many in one program."""

import time
from dataclasses import replace

import numpy as np
import pytest

from analysis.predictions import read_predictions
from dermtune.config import ModelConfig
from dermtune.execution import execute, execute_together
from dermtune.frozen.bundles import Unfit, bundles, hindrance
from dermtune.frozen.features import FeatureCache
from dermtune.frozen.training import train_bundle
from dermtune.ledger import Diverged, TrialFolder
from dermtune.opened import fingerprints
from dermtune.serving import load_classifier, save_classifier
from dermtune.train import Outcome
from dermtune.trainer import PACE

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
"""Of logits from 0.1 to 10. Features are computed in batches of other sizes than the Trainer's and products are
summed in another order, so both differ in the last bit of a float32, 1e-7 of a number near 1; measured: 3e-7 of
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
    outcomes = train_bundle(
        trials, drawn.data, drawn.place, threads=1, on_epoch=on_epoch, on_progress=lambda what: None
    )
    return {trial.trial_id: outcome for trial, outcome in outcomes}


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
        timed = ("seconds", "images_per_second")
        of_images = set(PACE).difference(timed)  # no image goes through the model
        assert list(ours) == [name for name in theirs if name not in of_images]
        for name in ("epoch", "learning_rate", "train_loss", "val_loss"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-5), name
        assert all(ours[name] > 0 for name in timed)


def bits(outcome) -> bytes:
    return b"".join(p.logits.tobytes() + p.logits_hflip.tobytes() for p in (outcome.val, outcome.test))


@pytest.mark.parametrize("levers", LEVERS.values(), ids=LEVERS.keys())
def test_a_head_on_kept_features_is_the_one_that_the_trainer_trains_on_images(drawn, make_trial, fit, levers):
    trial = head(make_trial, levers, vflip=True, warmup_fraction=0.3, learning_rate=0.02)
    assert_close(alone(drawn, trial), fit(trial))


@pytest.mark.parametrize("training", [{"accumulation": 2}, {"precision": "bfloat16"}, {"schedule": "linear"}])
def test_it_is_so_however_the_trainer_steps(drawn, make_trial, fit, training):
    trial = head(make_trial, {"focal_gamma": 2.0}, learning_rate=0.02, batch_size=25, **training)
    assert_close(alone(drawn, trial), fit(trial))


def test_heads_of_a_checkpoint_train_in_one_program_whatever_their_seeds(drawn, make_trial, fit, siglip_checkpoint):
    model = ModelConfig(checkpoint=str(siglip_checkpoint))
    trials = [
        with_weights(head(make_trial, levers, model=model, seed=seed, learning_rate=0.02), drawn)
        for seed in (0, 1)
        for levers in ({}, {"ldam": 0.5})
    ]
    assert bundles(trials, at_once=1) == (tuple(trials),)
    together = bundle(drawn, *trials)
    for trial in trials:
        assert_close(together[trial.trial_id], fit(trial))


def with_weights(trial, drawn):
    return replace(trial, fingerprints=fingerprints(trial.config, drawn.data))


def test_a_trial_gets_the_same_bits_whichever_others_are_in_its_program(drawn, make_trial):
    trials = [head(make_trial, levers, vflip=True, batch_size=25) for levers in LEVERS.values()]
    whole, part = bundle(drawn, *trials), bundle(drawn, *trials[3:7])
    for trial in trials:
        assert bits(whole[trial.trial_id]) == bits(alone(drawn, trial)), trial.levers
    for trial in trials[3:7]:
        assert bits(whole[trial.trial_id]) == bits(part[trial.trial_id]), trial.levers


def test_one_that_diverges_says_what_the_trainer_would_and_ends_no_other(drawn, make_trial, fit):
    bad, good = (head(make_trial, {"learning_rate_factor": factor}) for factor in (1e38, 1.0))
    seen = []
    outcomes = bundle(drawn, bad, good, on_epoch=lambda histories: seen.append(set(histories)))
    with pytest.raises(Diverged) as of_the_trainer:
        fit(bad)
    assert str(outcomes[bad.trial_id]) == str(of_the_trainer.value)
    assert bits(outcomes[good.trial_id]) == bits(alone(drawn, good))
    assert seen[-1] == {good.trial_id}


def test_a_blend_of_pixels_and_a_backbone_that_trains_go_the_ordinary_way(make_trial):
    assert hindrance(head(make_trial).config) is None
    assert "blends pixels" in hindrance(head(make_trial, {"mixup": 0.2}).config)
    for tuning in ("full", "lora", "last_k"):
        assert repr(tuning) in hindrance(make_trial(levers={"tuning": tuning}).config)


# Which trials share a program.


def test_programs_are_of_one_seed_where_each_seed_has_its_own_backbone(make_trial):
    trials = [head(make_trial, levers, seed=seed) for seed in (0, 1) for levers in ({}, {"focal_gamma": 2.0})]
    assert bundles(trials, at_once=1) == (tuple(trials[:2]), tuple(trials[2:]))


def test_what_does_not_step_alike_is_apart_and_learning_rates_are_together(make_trial):
    plain = head(make_trial)
    faster = head(make_trial, learning_rate=0.1, schedule="linear")
    others = [head(make_trial, epochs=3), head(make_trial, batch_size=16), make_trial("resnet")]
    assert bundles([plain, *others, faster], at_once=1) == ((plain, faster), *[(other,) for other in others])


def test_heads_are_dealt_evenly_to_the_programs_that_run_beside_each_other(make_trial):
    trials = [head(make_trial, {"focal_gamma": float(gamma)}) for gamma in range(7)]
    assert [len(program) for program in bundles(trials, at_once=2)] == [4, 3]
    assert [len(program) for program in bundles(trials, at_once=100)] == [1] * 7


# What they leave behind.


def test_each_trial_of_a_program_leaves_what_it_would_leave_alone_and_its_share_of_the_time(
    drawn, make_trial, tmp_path
):
    bad = head(make_trial, {"learning_rate_factor": 1e38})
    trials = (head(make_trial), bad, head(make_trial, {"ema": 0.5}))
    folders = {trial.trial_id: TrialFolder(tmp_path / trial.trial_id) for trial in trials}
    ended = {}
    began = time.monotonic()
    execute_together(
        trials, drawn.place, folders, threads=1, gpus=0.0, usd_per_hour=2.0, on_epoch=lambda rows: None,
        on_notice=lambda trial, what: None, on_end=lambda trial, result: ended.update({trial.trial_id: result}),
    )  # fmt: skip
    took = time.monotonic() - began
    attempts = {trial_id: folder.attempts()[-1] for trial_id, folder in folders.items()}
    assert isinstance(ended[bad.trial_id], Diverged)
    assert attempts[bad.trial_id].ended == "diverged"
    assert sum(attempt.seconds for attempt in attempts.values()) <= took + 0.01
    for trial in (trials[0], trials[2]):
        folder, manifest = folders[trial.trial_id], folders[trial.trial_id].manifest()
        assert folder.is_done()
        assert manifest["trial_id"] == trial.trial_id
        assert manifest["seconds"] == attempts[trial.trial_id].seconds <= took / 3
        assert manifest["scores"]["test"] == ended[trial.trial_id]
        assert manifest["frozen_features"] == FeatureCache(trial, drawn.data, drawn.place, 1).key
        assert read_predictions(folder.predictions("test")).trial_id == trial.trial_id


def test_a_head_by_itself_is_the_same_and_its_model_can_be_served(drawn, make_trial, tmp_path):
    trial = head(make_trial, {"ldam": 0.5}, learning_rate=0.02)
    folder, rows = TrialFolder(tmp_path / "trial"), []
    execute(trial, drawn.place, folder, threads=1, gpus=0.0, on_epoch=rows.append, on_notice=print, keep_model=True)
    written = read_predictions(folder.predictions("test"))
    assert bits_of(written) == bits_of(alone(drawn, trial).test)
    assert [row["epoch"] for row in rows] == [1.0, 2.0]
    served = load_classifier(folder.model).logits(drawn.data.test.images[np.arange(len(drawn.data.test))])
    np.testing.assert_allclose(served, written.logits, **TOLERANCE)


def bits_of(predictions) -> bytes:
    return predictions.logits.tobytes() + predictions.logits_hflip.tobytes()


def test_a_model_with_more_than_a_linear_layer_behind_its_features_trains_on_images(drawn, make_trial, tmp_path):
    model = ModelConfig(architecture="mobilenet_v2", settings={"image_size": 32, "depth_multiplier": 0.1})
    trial = head(make_trial, model=model, epochs=1)
    folder = TrialFolder(tmp_path / "trial")
    execute(trial, drawn.place, folder, threads=1, gpus=0.0, on_epoch=lambda row: None, on_notice=print)
    assert folder.is_done()
    assert "frozen_features" not in folder.manifest()
    with pytest.raises(Unfit, match="differ in training and in evaluation"):
        alone(drawn, trial)


class CutOffError(Exception):
    """Ends an attempt in the middle."""


def test_such_a_head_that_was_cut_off_goes_on_from_its_checkpoint_in_one_more_attempt(drawn, make_trial, tmp_path):
    model = ModelConfig(architecture="mobilenet_v2", settings={"image_size": 32, "depth_multiplier": 0.1})
    trial = head(make_trial, model=model, epochs=3)
    folder, epochs = TrialFolder(tmp_path / "trial"), []

    def on_epoch(row):
        epochs.append(row["epoch"])
        if epochs == [1.0, 2.0]:
            raise CutOffError

    how = {"threads": 1, "gpus": 0.0, "on_epoch": on_epoch, "on_notice": print}
    with pytest.raises(CutOffError):
        execute(trial, drawn.place, folder, **how)
    assert folder.epochs_kept() == 2
    execute(trial, drawn.place, folder, **how)
    assert epochs == [1.0, 2.0, 3.0]
    assert [attempt.ended for attempt in folder.attempts()] == ["failed", "done"]


def test_where_it_is_known_that_a_head_trains_on_images_no_backbone_is_built_to_find_out(
    drawn, make_trial, tmp_path, monkeypatch
):
    monkeypatch.setattr("dermtune.frozen.training.FeatureCache", None)
    trial, folder = head(make_trial, epochs=1), TrialFolder(tmp_path / "trial")
    how = {"threads": 1, "gpus": 0.0, "on_epoch": lambda row: None, "on_notice": print}
    execute(trial, drawn.place, folder, on_images=True, **how)
    assert "frozen_features" not in folder.manifest()


def test_each_model_of_a_program_is_written_when_the_trial_before_it_is_sealed(
    drawn, make_trial, tmp_path, monkeypatch
):
    trials = (head(make_trial), head(make_trial, {"ema": 0.5}), head(make_trial, {"focal_gamma": 2.0}))
    folders = {trial.trial_id: TrialFolder(tmp_path / trial.trial_id) for trial in trials}
    sealed = []

    def save(model, config, classes, folder):
        sealed.append(sum(there.is_done() for there in folders.values()))
        save_classifier(model, config, classes, folder)

    monkeypatch.setattr("dermtune.frozen.training.save_classifier", save)
    execute_together(
        trials, drawn.place, folders, threads=1, gpus=0.0, on_epoch=lambda rows: None,
        on_notice=lambda trial, what: None, on_end=lambda trial, result: None, keep_model=True,
    )  # fmt: skip
    assert sealed == [0, 1, 2]
    assert all(folder.has_model() for folder in folders.values())
