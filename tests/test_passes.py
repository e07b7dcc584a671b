"""What a pass holds is the machine's affair: the same images, mirrors, pairs and gradients at every step."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dermtune.config import ConfigError, TrainingConfig
from dermtune.device import reproducible
from dermtune.mixup import Mixup
from dermtune.passes import Passes, mirrored, paired
from dermtune.pixels import mirrors
from dermtune.train import trainer_of


@dataclass(frozen=True)
class Asked:
    hflip: bool = True
    vflip: bool = True
    seed: int = 3


@st.composite
def dealt(draw):
    batch_size, accumulation = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    whole = batch_size * accumulation
    micro_batch = draw(st.sampled_from([m for m in range(1, whole + 1) if whole % m == 0]))
    training = TrainingConfig(batch_size=batch_size, accumulation=accumulation)
    return Passes.of(training, micro_batch), draw(st.integers(0, 5)), draw(st.integers(1, whole))


@given(dealt())
def test_every_image_of_a_step_keeps_its_pass_and_its_place_in_it_however_the_step_is_dealt(drawn):
    passes, step, n = drawn
    places = [
        (part.number, part.n, place)
        for index in range(passes.per_step)
        for part in passes.parts(step, n, index)
        for place in range(part.start, part.stop)
    ]
    size = passes.batch_size
    assert places == [
        (step * passes.accumulation + i // size, min(size, n - i // size * size), i % size) for i in range(n)
    ]


@given(dealt())
def test_every_image_has_the_mirrors_that_its_own_pass_draws(drawn):
    passes, step, n = drawn
    shown = [
        torch.stack(mirrored(Asked(), parts))
        for index in range(passes.per_step)
        if (parts := list(passes.parts(step, n, index)))
    ]
    sizes = [min(passes.batch_size, n - first) for first in range(0, n, passes.batch_size)]
    drawn_by_pass = [mirrors(Asked(), size, step * passes.accumulation + i) for i, size in enumerate(sizes)]
    assert torch.cat(shown, 1).equal(torch.cat([torch.stack(ways) for ways in drawn_by_pass], 1))


def test_where_one_way_is_not_asked_for_none_is_drawn():
    (part,) = Passes.of(TrainingConfig(batch_size=4)).parts(0, 4, 0)
    across, down = mirrored(Asked(vflip=False), [part])
    assert down is None
    assert across.equal(mirrors(Asked(), 4, 0)[0])


@pytest.fixture
def gradients_of(drawn, tmp_path, monkeypatch):
    """The gradient of each step of an epoch at the initial weights, as it is before clipping."""

    def run(trial, micro_batch):
        seen = []

        def clip(parameters, *args, **kwargs):
            seen.append(torch.cat([p.grad.flatten().clone() for p in parameters]))
            return seen[-1].norm()

        with monkeypatch.context() as patched, reproducible(trial.seed, 1):
            patched.setattr("torch.nn.utils.clip_grad_norm_", clip)
            folder = tmp_path / f"{trial.trial_id}-{micro_batch}"
            trainer_of(trial, drawn.data, folder, lambda history: None, micro_batch).train()
        return seen

    return run


STILL = {"learning_rate": 1e-12, "weight_decay": 0.0, "epochs": 1, "vflip": True}


@pytest.mark.parametrize("levers", [{}, {"mixup": 0.4, "label_smoothing": 0.1}], ids=["plain", "mixup"])
def test_eight_passes_of_eight_and_one_of_64_give_a_step_the_same_gradient(gradients_of, make_trial, levers):
    trial = make_trial(levers=levers, batch_size=8, accumulation=8, **STILL)
    by_recipe = gradients_of(trial, None)
    assert len(by_recipe) == 3  # 167 images: the last step has 39, and a pass of them seven
    for micro_batch in (64, 16) if levers else (64, 16, 4):
        for here, there in zip(gradients_of(trial, micro_batch), by_recipe, strict=True):
            torch.testing.assert_close(here, there, rtol=0.0, atol=1e-6)
    other = make_trial(levers=levers, batch_size=64, **STILL)
    assert not torch.allclose(gradients_of(other, None)[0], by_recipe[0], rtol=0.0, atol=1e-6)


def test_a_number_that_does_not_divide_the_step_is_refused():
    with pytest.raises(ConfigError, match=r"`micro_batch` must divide .* 24 = `batch_size` 8 x .* got 16"):
        Passes.of(TrainingConfig(batch_size=8, accumulation=3), 16)


def test_mixup_needs_whole_passes(drawn, make_trial, tmp_path):
    trial = make_trial(levers={"mixup": 0.2}, batch_size=8, accumulation=2)
    with pytest.raises(ConfigError, match="`micro_batch` must be a multiple of `batch_size`, 8, with `mixup`"):
        trainer_of(trial, drawn.data, tmp_path, lambda history: None, 4)


def test_partners_stay_in_their_pass():
    pairing = Mixup(alpha=1.0, seed=0)
    passes = Passes.of(TrainingConfig(batch_size=3, accumulation=2), 6)
    both = paired(pairing, list(passes.parts(5, 6, 0)))
    first, second = (pairing.pairing(3, number) for number in (10, 11))
    assert both.partners.tolist() == [*first.partners.tolist(), *(3 + second.partners).tolist()]
    assert both.share.tolist() == pytest.approx([first.share] * 3 + [second.share] * 3)
