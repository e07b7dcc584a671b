"""Processes that train a trial together end where one does, to rounding; what they cannot train is refused."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from transformers import Trainer, TrainingArguments

from dermtune.config import ConfigError, ModelConfig, TrainingConfig
from dermtune.crew import Crew
from dermtune.crewtrainer import Share, ShareSampler, _idle_weights, check_shareable
from dermtune.execution import check_models
from dermtune.ledger import Diverged
from dermtune.model import build_model
from dermtune.passes import Passes
from dermtune.sampling import PowerSampler
from dermtune.train import train
from dermtune.trainer import PACE, arguments_for
from tests.conftest import VISION
from tests.crews import CutOff, Given, Run, in_crew

CLASSES = ("acne", "eczema", "tinea")
DINO = ModelConfig(
    architecture="dinov2",
    settings={**{k: v for k, v in VISION.items() if k != "intermediate_size"}, "mlp_ratio": 2},
)
EVERY_LEVER = {
    "ema": 0.9,
    "mixup": 0.2,
    "sampler_power": 1.0,
    "sampler_schedule": "progressive",
    "prior_weight": 0.5,
    "drw": 0.5,
    "focal_gamma": 2.0,
    "label_smoothing": 0.1,
}
"""Levers that draw numbers for each image, or change with step or epoch."""


@pytest.fixture(scope="module")
def runs(make_trial):
    changing = make_trial(levers=EVERY_LEVER, vflip=True)
    return {
        "baseline, evaluated in batches that do not divide": Run(trial=make_trial(eval_batch_size=7)),
        "every lever": Run(trial=changing),
        "a pass each": Run(trial=make_trial(batch_size=16, accumulation=2, learning_rate=1e-2)),
        "three halved passes": Run(trial=make_trial(batch_size=10, accumulation=3, levers={"mixup": 0.2})),
        "a pass of a whole step": Run(
            trial=make_trial(batch_size=16, accumulation=2, levers={"mixup": 0.2}), micro_batch=32
        ),
        "activations computed twice": Run(trial=make_trial(gradient_checkpointing=True)),
        "a weight that no loss reaches": Run(trial=make_trial(DINO)),
        "undetermined": Run(trial=make_trial(), undetermined=True),
        "diverging": Run(trial=make_trial(learning_rate=1e20)),
        "cut off": Run(trial=changing, cut_off_after=1),
        "gone on": Run(trial=changing, goes_on_from="cut off"),
        "gone on from one process": Run(trial=changing, goes_on_from="one process"),
        "cut off for one process": Run(trial=changing, cut_off_after=1),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("crew")


@pytest.fixture(scope="module")
def one_process(runs, drawn, folder):
    """The trial of "gone on from one process", trained by one process for an epoch."""

    def cut_off(history):
        raise CutOff

    trial, checkpoint = runs["gone on from one process"].trial, folder / "one process" / "checkpoint"
    with pytest.raises(CutOff):
        train(trial, drawn.data, checkpoint=checkpoint, threads=1, on_epoch=cut_off)


@pytest.fixture(scope="module")
def together(runs, drawn, folder, one_process):
    """By name what each of two processes has of every run."""
    first, second = in_crew(Given(runs=runs, place=drawn.place, folder=folder))
    return {name: (first[name], second[name]) for name in runs}


SHIFTS = ("k_proj.bias", "key.bias")
"""What attention's softmax takes out again: the gradient is rounding, which Adam makes as large as any other."""

TRAINED = (
    "baseline, evaluated in batches that do not divide",
    "every lever",
    "a pass each",
    "three halved passes",
    "a pass of a whole step",
    "activations computed twice",
)


@pytest.mark.parametrize("name", [*TRAINED, "a weight that no loss reaches"])
def test_two_processes_end_with_the_weights_predictions_and_history_of_one(
    runs, drawn, together, folder, tmp_path, name
):
    run, (first, _) = runs[name], together[name]
    alone = train(
        run.trial,
        drawn.data,
        checkpoint=tmp_path / "alone",
        threads=1,
        on_epoch=lambda history: None,
        keep_at=tmp_path / "model",
    )
    kept = load_file(folder / name / "model" / "model.safetensors")
    for weight, expected in load_file(tmp_path / "model" / "model.safetensors").items():
        if not weight.endswith(SHIFTS):
            torch.testing.assert_close(kept[weight], expected, atol=1e-5, rtol=0)
    assert_near(first, alone)
    assert (first.processes, first.micro_batch, alone.processes) == (2, run.micro_batch, 1)


def assert_near(outcome, expected):
    """Predictions and history are the same, to rounding."""
    for mine, theirs in ((outcome.val, expected.val), (outcome.test, expected.test)):
        np.testing.assert_allclose(mine.logits, theirs.logits, atol=1e-5)
        np.testing.assert_allclose(mine.logits_hflip, theirs.logits_hflip, atol=1e-5)
    for mine, theirs in zip(untimed(outcome.history), untimed(expected.history), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


def predicted(outcome):
    return b"".join(p.logits.tobytes() + p.logits_hflip.tobytes() for p in (outcome.val, outcome.test))


@pytest.mark.parametrize("name", TRAINED)
def test_every_process_has_the_same_bits(together, name):
    first, second = together[name]
    assert predicted(first) == predicted(second)


def test_what_has_no_deterministic_kernel_is_trained_by_all_processes_all_the_same(together):
    first, second = together["undetermined"]
    assert not first.deterministic
    assert not second.deterministic
    assert predicted(first) == predicted(second)


def test_a_loss_that_is_no_number_ends_every_process_with_the_same_words(together):
    first, second = together["diverging"]
    assert isinstance(first, Diverged)
    assert str(first) == str(second) == "training loss is nan in epoch 1"


def test_a_crew_that_was_cut_off_after_an_epoch_goes_on_from_its_checkpoint_to_the_same_bits(together):
    assert [type(error) for error in together["cut off"]] == [CutOff, CutOff]
    went_on, undisturbed = together["gone on"][0], together["every lever"][0]
    assert predicted(went_on) == predicted(undisturbed)
    assert untimed(went_on.history) == untimed(undisturbed.history)


def test_an_epoch_of_one_process_is_gone_on_from_by_two(together):
    went_on, undisturbed = together["gone on from one process"][0], together["every lever"][0]
    assert_near(went_on, undisturbed)


def test_an_epoch_of_two_processes_is_gone_on_from_by_one(runs, drawn, together, folder):
    name, epochs = "cut off for one process", []
    went_on = train(
        runs[name].trial,
        drawn.data,
        checkpoint=folder / name / "checkpoint",
        threads=1,
        on_epoch=lambda history: epochs.append(len(history)),
    )
    assert epochs == [2]
    assert_near(went_on, together["every lever"][0])


def untimed(history):
    return [{key: value for key, value in row.items() if key not in PACE} for row in history]


@pytest.mark.slow
def test_a_crew_whose_first_process_is_killed_after_an_epoch_does_the_same(runs, drawn, together, tmp_path):
    cut = Given(runs={"killed": runs["cut off"]}, place=drawn.place, folder=tmp_path, killed=True)
    assert in_crew(cut) == []
    assert [path.name for path in (tmp_path / "killed" / "checkpoint").iterdir()] == ["checkpoint-6"]
    going_on = {"gone on": Run(trial=runs["cut off"].trial, goes_on_from="killed")}
    first, _ = in_crew(replace(cut, runs=going_on, killed=False))
    assert predicted(first["gone on"]) == predicted(together["every lever"][0])


# Whose part of a step is whose.

CREWS = st.tuples(st.integers(1, 8), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 200))


@given(CREWS)
def test_each_image_of_an_epoch_is_in_one_processs_share_of_the_pass_that_a_single_process_would_show_it_in(crew):
    processes, passes_of_step, parts, images, n = crew
    step = passes_of_step * parts * images * processes
    training = TrainingConfig(batch_size=step // passes_of_step, accumulation=passes_of_step)
    passes = Passes.of(training, step // parts if step % parts == 0 else None)
    alone = PowerSampler(np.zeros(n, np.int64), 0.0, seed=1)
    expected = list(alone)
    seen: Counter[int] = Counter()
    lengths = set()
    for rank in range(processes):
        share = Share(passes=passes, crew=Crew(rank=rank, processes=processes))
        sampler = ShareSampler(alone, share)
        shown_in_all = list(sampler)
        assert len(shown_in_all) == len(sampler)
        lengths.add(len(shown_in_all))
        assert share.images * share.sharers == passes.micro_batch
        for own, shown in enumerate(shown_in_all):
            number = share.number(own)
            assert own // share.per_step == number // passes.per_step  # the step
            assert shown == expected[number * passes.micro_batch : (number + 1) * passes.micro_batch]
            seen.update(shown[share.rows(len(shown))])
    assert seen == Counter(expected)
    assert len(lengths) == 1


# What is refused.


def test_a_step_that_cannot_be_divided_is_refused_in_a_line_that_says_by_what(make_trial):
    config = make_trial(batch_size=33, accumulation=2).config
    check_shareable(config, CLASSES, Crew(processes=2))
    with pytest.raises(ConfigError, match=r"`batch_size` 33 x `accumulation` 2, must be divisible by .* got 4"):
        check_shareable(config, CLASSES, Crew(processes=4))


def test_batch_normalisation_is_refused_before_any_trial_starts(make_trial):
    arms = {"baseline": make_trial("resnet").config}
    check_models(arms, CLASSES)
    with pytest.raises(ConfigError, match=r"without batch normalisation, .* got resnet with BatchNorm2d"):
        check_models(arms, CLASSES, processes=2)


def test_a_head_on_kept_features_is_not_refused_since_one_process_trains_it(make_trial):
    check_models({"head": make_trial("resnet", levers={"tuning": "head"}).config}, CLASSES, processes=2)


def test_ddp_is_told_of_weights_that_no_loss_reaches_and_of_none_where_there_are_none(make_trial):
    assert _idle_weights(make_trial().config, CLASSES) == []
    assert _idle_weights(make_trial(levers={"tuning": "lora"}).config, CLASSES) == []
    assert _idle_weights(make_trial(DINO).config, CLASSES) == ["dinov2.embeddings.mask_token"]
    check_shareable(make_trial(DINO).config, CLASSES, Crew(processes=2))


# A process has one device.


def test_a_process_that_sees_four_gpus_neither_splits_its_batches_over_them_nor_multiplies_them(
    make_trial, tmp_path
):
    config = make_trial().config
    arguments = arguments_for(config, 0, tmp_path, Passes.of(config.training))
    arguments._n_gpu = 4  # what transformers sets where torch sees as many
    assert arguments.train_batch_size == config.training.batch_size
    plain = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    plain._n_gpu = 4
    assert plain.train_batch_size == 4 * plain.per_device_train_batch_size
    model = build_model(config.model, CLASSES)
    assert isinstance(Trainer(model, plain)._wrap_model(model), nn.DataParallel)
    assert Trainer(model, arguments, eval_dataset=[])._wrap_model(model) is model
