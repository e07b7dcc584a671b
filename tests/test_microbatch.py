"""What a forward pass holds: found by trying on a machine whose memory is a fake, kept, told, refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dermtune import microbatch
from dermtune.arguments import parse
from dermtune.config import ConfigError
from dermtune.data.place import Place
from dermtune.execution import check_models, execute
from dermtune.ledger import TrialFolder
from dermtune.microbatch import Memory, candidates, largest, micro_batch_for
from dermtune.mixup import Pairing
from dermtune.recipes import Resources

CLASSES = tuple("abcdefg")
FAKE = Memory(device=torch.device("cpu"), name="a fake", n_bytes=10**9)


@pytest.fixture
def room_for(monkeypatch):
    """Lets so many images into a model that trains; what is tried is noted."""

    def fake(limit: int, says: str = "CUDA out of memory. Tried to allocate 2.00 GiB.") -> list[int]:
        tried: list[int] = []

        def refuse(model, args, kwargs):
            if model.training:
                tried.append(len(kwargs["pixel_values"]))
                if tried[-1] > limit:
                    raise RuntimeError(says)

        def smaller(*about):
            model = trainee(*about)
            model.register_forward_pre_hook(refuse, with_kwargs=True)
            return model

        trainee = microbatch.trainee
        monkeypatch.setattr(microbatch, "trainee", smaller)
        return tried

    return fake


@pytest.fixture
def place(tmp_path):
    return Place(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(("limit", "found"), [(64, 64), (63, 32), (20, 16), (1, 1)])
def test_the_largest_divisor_of_a_step_that_fits_is_found_by_real_steps(make_trial, place, room_for, limit, found):
    tried = room_for(limit)
    config = make_trial(batch_size=8, accumulation=8, levers={"ema": 0.9}, gradient_checkpointing=True).config
    assert micro_batch_for("auto", config, CLASSES, place, FAKE) == found
    # Two steps of what fits, of two passes each where a step has more than one.
    assert tried == [*[n for n in (64, 32, 16, 8, 4, 2, 1) if n > found], *[found] * (2 if found == 64 else 4)]


@pytest.mark.parametrize(
    "says",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    ],
)
def test_a_lack_of_memory_counts_as_one_however_a_library_says_it(make_trial, place, room_for, says):
    room_for(2, says)
    assert micro_batch_for("auto", make_trial(batch_size=4).config, CLASSES, place, FAKE) == 2


def test_a_pass_is_tried_beside_the_gradients_of_the_one_before_it_and_with_all_that_training_adds(
    make_trial, place, monkeypatch
):
    beside, blended, clipped, shown = [], [], [], []

    def look(model, args, kwargs):
        if model.training:
            beside.append(any(parameter.grad is not None for parameter in model.parameters()))
        else:
            shown.append(len(kwargs["pixel_values"]))

    def seen(*about):
        model = trainee(*about)
        model.register_forward_pre_hook(look, with_kwargs=True)
        return model

    trainee, blend, clip = microbatch.trainee, Pairing.images, torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(microbatch, "trainee", seen)
    monkeypatch.setattr(Pairing, "images", lambda *about: (blended.append(1), blend(*about))[1])
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *about: (clipped.append(1), clip(*about))[1])
    config = make_trial(batch_size=4, accumulation=3, eval_batch_size=7, levers={"mixup": 0.2}).config
    microbatch.try_step(config, CLASSES, 4, FAKE)
    assert beside == [False, True, False, True]
    assert len(blended) == 4
    assert len(clipped) == 2
    assert shown == [7]


def test_what_was_found_is_kept_for_all_arms_that_take_as_much_and_for_no_others(make_trial, place, room_for):
    tried = room_for(16)
    step = {"batch_size": 8, "accumulation": 8, "eval_batch_size": 8}
    for levers in ({}, {"focal_gamma": 2.0}, {"sampler_power": 0.5}, {"learning_rate_factor": 2.0}):
        assert micro_batch_for("auto", make_trial(levers=levers, **step).config, CLASSES, place, FAKE) == 16
    assert len(tried) == 6
    others = [
        (make_trial(levers={"tuning": "lora"}, **step), FAKE),
        (make_trial(gradient_checkpointing=True, **step), FAKE),
        (make_trial(precision="bfloat16", **step), FAKE),
        (make_trial(**{**step, "eval_batch_size": 16}), FAKE),
        (make_trial(**step), replace(FAKE, n_bytes=5 * 10**8)),
        (make_trial(**step), replace(FAKE, name="another")),
    ]
    for i, (trial, memory) in enumerate(others, 2):
        assert micro_batch_for("auto", trial.config, CLASSES, place, memory) == 16
        assert len(tried) == 6 * i
    (kept, *_) = place.cache_dir.glob("micro-batch-*.json")
    kept.write_text("no number")
    for trial, memory in [(make_trial(**step), FAKE), *others]:
        assert micro_batch_for("auto", trial.config, CLASSES, place, memory) == 16
    assert len(tried) == 6 * 8


def test_a_step_that_leaves_no_room_beside_it_counts_as_too_large(make_trial, place, monkeypatch):
    taken = iter([0.95e9, 0.91e9, 0.85e9])
    monkeypatch.setattr(microbatch, "_taken", lambda memory: next(taken))
    config = make_trial(batch_size=8).config
    assert micro_batch_for("auto", config, CLASSES, place, FAKE) == 2


def test_where_not_one_image_fits_a_line_says_what_would_need_less(make_trial, place, room_for):
    room_for(0)
    with pytest.raises(
        ConfigError, match=r"a forward pass of 1 must fit .* `gradient_checkpointing` would need less"
    ):
        micro_batch_for("auto", make_trial(batch_size=2).config, CLASSES, place, FAKE)


def test_another_error_than_a_lack_of_memory_is_told_as_it_is():
    def broken(n):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        largest([4, 2], broken)


def test_trying_draws_none_of_the_numbers_that_a_trial_draws(make_trial, place):
    before = torch.random.get_rng_state()
    micro_batch_for("auto", make_trial(batch_size=4).config, CLASSES, place, FAKE)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_cpu_goes_by_the_recipe_and_a_number_is_taken_as_it_is(make_trial, place):
    config = make_trial(batch_size=8, accumulation=2).config
    assert micro_batch_for("auto", config, CLASSES, place, None) is None
    assert micro_batch_for(None, config, CLASSES, place, FAKE) is None
    assert micro_batch_for(4, config, CLASSES, place, None) == 4
    assert not place.cache_dir.exists()


def test_with_mixup_a_pass_holds_whole_passes_of_the_recipe(make_trial):
    assert candidates(make_trial(batch_size=8, accumulation=4, levers={"mixup": 0.2}).config) == [32, 16, 8]
    assert candidates(make_trial(batch_size=4, accumulation=3).config) == [12, 6, 4, 3, 2, 1]


@pytest.mark.parametrize("asked", ["auto", 16])
def test_batch_statistics_are_never_taken_over_other_passes(make_trial, asked):
    arms = {"plain": make_trial("resnet", batch_size=8, accumulation=2).config}
    with pytest.raises(ConfigError, match=r"`micro_batch` must be left to the recipe .* in arm 'plain'"):
        check_models(arms, CLASSES, asked)
    check_models(arms, CLASSES, 8)
    frozen = {"head": make_trial("resnet", batch_size=8, levers={"tuning": "head"}).config}
    check_models(frozen, CLASSES, "auto")


def test_what_no_arm_can_hold_is_refused_before_any_trial(make_trial):
    arms = {"a": make_trial(batch_size=8).config}
    with pytest.raises(
        ConfigError, match=r"`micro_batch` must divide the images of an optimiser step, 8 = .* in arm"
    ):
        check_models(arms, CLASSES, 3)


def test_a_trial_with_other_passes_says_so_and_predicts_the_same(make_trial, drawn, tmp_path):
    trial = make_trial(batch_size=8, accumulation=4, epochs=1)
    folders = {n: TrialFolder(tmp_path / str(n)) for n in (None, 8, 32)}
    for n, folder in folders.items():
        execute(
            trial,
            drawn.place,
            folder,
            threads=1,
            gpus=0.0,
            on_epoch=lambda row: None,
            on_notice=print,
            micro_batch=n,
        )
    assert "micro_batch" not in folders[None].manifest()
    assert "micro_batch" not in folders[8].manifest()
    assert folders[32].manifest()["micro_batch"] == 32
    from analysis.predictions import read_predictions

    by_recipe, same, other = (read_predictions(folder.predictions("test")).logits for folder in folders.values())
    assert (same == by_recipe).all()
    np.testing.assert_allclose(other, by_recipe, atol=1e-4)


def test_it_is_asked_for_in_the_recipe_or_on_the_command_line(capsys):
    assert parse(["sweep.py", "--micro-batch", "auto"]).micro_batch == "auto"
    assert parse(["sweep.py", "--micro-batch", "16"]).micro_batch == 16
    assert parse(["sweep.py"]).micro_batch is None
    with pytest.raises(SystemExit):
        parse(["sweep.py", "--micro-batch", "0"])
    assert "--micro-batch" in capsys.readouterr().err
    assert Resources(micro_batch="auto").micro_batch == "auto"
    for wrong in (0, True, "all", 2.0):
        with pytest.raises(ConfigError, match="`micro_batch` must be a whole number"):
            Resources(micro_batch=wrong)
