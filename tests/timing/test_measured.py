"""What a whole trial takes by the seconds of its parts."""

import json
from dataclasses import replace

import pytest

from dermtune.config import TrainingConfig
from dermtune.timing.measured import Seconds, Timing, together

TIMING = Timing(
    once=10.0,
    start=1.0,
    step=Seconds(typical=0.5, low=0.4, high=0.7),
    n_steps=120,
    evaluation=0.01,
    checkpoint=0.5,
    n_train=6400,
    n_val=500,
    n_test=1000,
    device="cpu",
)


def test_a_trial_is_its_start_its_epochs_and_two_views_of_val_and_test():
    whole = TIMING.trial(TrainingConfig(epochs=3, batch_size=64))
    assert whole.typical == pytest.approx(1 + 3 * (100 * 0.5 + 500 * 0.01 + 0.5) + 2 * 1500 * 0.01)
    assert (whole.low, whole.high) == (
        pytest.approx(whole.typical - 300 * 0.1),
        pytest.approx(whole.typical + 300 * 0.2),
    )


def test_batches_that_make_one_step_are_in_the_step_and_a_part_of_a_batch_is_a_part_of_one():
    accumulated = TIMING.trial(TrainingConfig(epochs=1, batch_size=16, accumulation=4))
    assert accumulated == TIMING.trial(TrainingConfig(epochs=1, batch_size=64))
    larger = replace(TIMING, n_train=6432).trial(TrainingConfig(epochs=1, batch_size=64))
    assert larger.typical - accumulated.typical == pytest.approx(0.25)


def test_of_trials_side_by_side_each_part_is_the_median():
    slower = replace(TIMING, once=30.0, step=Seconds(typical=1.5, low=1.0, high=2.0), evaluation=0.03)
    both = together([TIMING, slower])
    assert (both.once, both.evaluation, both.checkpoint) == (20.0, 0.02, 0.5)
    assert both.step == Seconds(typical=1.0, low=0.7, high=1.35)
    assert (both.beside, both.n_steps) == (2, 240)


def test_a_timing_survives_its_file():
    assert Timing.from_dict(json.loads(json.dumps(TIMING.to_dict()))) == TIMING


@pytest.mark.parametrize("change", [{"evaluation": -1.0}, {"n_train": 0}, {"beside": 0}])
def test_durations_below_nought_and_nothing_to_train_on_are_no_timing(change):
    with pytest.raises(ValueError, match="must have durations of at least 0"):
        replace(TIMING, **change)


def test_a_median_outside_its_quartiles_is_no_timing():
    with pytest.raises(ValueError, match="must lie between its quartiles"):
        Seconds(typical=1.0, low=1.1, high=2.0)
