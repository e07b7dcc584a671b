"""What the stopwatch makes of a trial whose parts take known times: the whole of it, to the second."""

from dataclasses import replace

import pytest

from dermtune.timing.kinds import same_kind


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0


@pytest.fixture
def clock(monkeypatch):
    """Half a second for a full batch of 32, a hundredth for an image evaluated, a quarter for a checkpoint."""
    from dermtune.timing import stopwatch
    from dermtune.trainer import PairedTrainer

    clock = Clock()
    step, evaluate, complete = PairedTrainer.training_step, PairedTrainer.evaluation_loop, PairedTrainer.complete

    def timed_step(self, model, inputs, *more):
        clock.now += 0.5 * len(inputs["labels"]) / 32
        return step(self, model, inputs, *more)

    def timed_evaluation(self, dataloader, *args, **kwargs):
        clock.now += 0.01 * len(dataloader.dataset)
        return evaluate(self, dataloader, *args, **kwargs)

    def timed_checkpoint(self, checkpoint):
        clock.now += 0.25
        complete(self, checkpoint)

    monkeypatch.setattr(PairedTrainer, "training_step", timed_step)
    monkeypatch.setattr(PairedTrainer, "evaluation_loop", timed_evaluation)
    monkeypatch.setattr(PairedTrainer, "complete", timed_checkpoint)
    monkeypatch.setattr(stopwatch, "_now", lambda: clock.now)
    return clock


@pytest.mark.parametrize(
    "training",
    [{}, {"batch_size": 16, "accumulation": 2}, {"batch_size": 256}],
    ids=["batches", "accumulated", "one"],
)
def test_the_projection_of_a_trial_is_what_the_trial_takes(clock, drawn, make_trial, fit, tmp_path, training):
    from dermtune.timing.stopwatch import time_trial

    trial = make_trial(epochs=3, **training)
    timing = time_trial(
        same_kind(trial.config), drawn.data, tmp_path / "timing", threads=1, once=0.0, on_step=lambda *told: None
    )
    clock.now = 0.0
    fit(trial)
    assert timing.trial(trial.config.training).typical == pytest.approx(clock.now)


def test_where_steps_are_long_few_are_timed_and_few_images_evaluated(
    clock, drawn, make_trial, tmp_path, monkeypatch
):
    from dermtune.timing import stopwatch

    monkeypatch.setattr(stopwatch, "SECONDS", 0.4)  # less than a step
    monkeypatch.setattr(stopwatch, "LONG", 0.4)
    told = []
    timing = stopwatch.time_trial(
        same_kind(make_trial().config),
        drawn.data,
        tmp_path,
        threads=1,
        once=0.0,
        on_step=lambda *of: told.append(of),
    )
    assert told == [(1, stopwatch.LEAST)], "one was thrown away, one was timed, and that is enough"
    assert timing.step.typical == pytest.approx(0.5)
    assert timing.evaluation == pytest.approx(0.01)
    assert timing.start == pytest.approx(0.0)


def test_a_timing_leaves_the_random_numbers_of_a_trial_as_they_are(drawn, make_trial, fit, tmp_path):
    import numpy as np

    from dermtune.timing.stopwatch import time_trial

    trial = replace(make_trial(), seed=7)
    before = fit(trial).test.logits
    time_trial(same_kind(trial.config), drawn.data, tmp_path, threads=1, once=0.0, on_step=lambda *told: None)
    np.testing.assert_array_equal(fit(trial).test.logits, before)
