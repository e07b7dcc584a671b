"""A trial's parts timed as they run: some steps of real training, and what comes behind each epoch."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback
from typing_extensions import override

from dermtune.config import Config
from dermtune.data.dataset import Dataset, ImageRows, Split
from dermtune.device import device_name, reproducible, strictly_or_else
from dermtune.plan import Trial
from dermtune.timing.measured import Seconds, Timing
from dermtune.train import no_notice, trainer_of
from dermtune.trainer import History, Images, PairedTrainer

WARM_UP = 3
"""Steps thrown away: kernels are chosen, memory is taken, files come from the disk."""
SECONDS = 5.0
"""For which steps are timed; and evaluated, at most."""
LEAST, MOST = 5, 150
"""Steps that are timed, whatever they take."""
LONG = 25.0
"""Seconds after which neither a further step is thrown away nor a further one timed: one of each is enough."""
EPOCHS = 2 * (WARM_UP + MOST)
"""More than the timed steps fill, however small the data."""

OnStep = Callable[[int, int], None]
"""Told how many steps are timed, and of how many."""


def time_trial(
    config: Config,
    data: Dataset,
    folder: Path,
    *,
    threads: int,
    once: float,
    on_step: OnStep,
    micro_batch: int | None = None,
) -> Timing:
    """The timing of a trial of this configuration, after a few of its steps in `folder`.

    `once` is what the caller took to load torch and the data. Raises what `train` does.
    """
    training = replace(config.training, epochs=EPOCHS)
    trial = Trial(arm="timing", levers={}, seed=0, config=replace(config, training=training), fingerprints={})
    began = _now()

    def run(strict: bool) -> _Stopwatch:
        with reproducible(trial.seed, threads, strict=strict):
            trainer = trainer_of(trial, data, folder, on_epoch=_nobody, micro_batch=micro_batch)
            watch = _Stopwatch(trainer, data, on_step)
            trainer.add_callback(watch)
            trainer.train()
        return watch

    return strictly_or_else(run, no_notice).timing(began=began, once=once)


class _Stopwatch(TrainerCallback):
    """Times steps and ends of epochs, and ends the training after enough of them."""

    def __init__(self, trainer: PairedTrainer, data: Dataset, on_step: OnStep) -> None:
        self._trainer = trainer
        self._data = data
        self._on_step = on_step
        args = trainer.args
        self._step_images = args.train_batch_size * args.gradient_accumulation_steps
        self._first_step: float | None = None
        self._since = 0.0
        self._warm_up: list[float] = []
        self._steps: list[float] = []
        self._planned = MOST
        self._evaluations: list[float] = []
        self._checkpoints: list[float] = []
        self._n_evaluated = len(data.val)

    def timing(self, *, began: float, once: float) -> Timing:
        """What was measured of a trial that began to be built at `began`."""
        low, typical, high = np.quantile(self._steps, (0.25, 0.5, 0.75), method="linear").tolist()
        excess = sum(self._warm_up) - len(self._warm_up) * typical
        return Timing(
            once=once,
            start=(began if self._first_step is None else self._first_step) - began + max(0.0, excess),
            step=Seconds(low=low, typical=typical, high=high),
            n_steps=len(self._steps),
            evaluation=median(self._evaluations),
            checkpoint=median(self._checkpoints),
            n_train=len(self._data.train),
            n_val=len(self._data.val),
            n_test=len(self._data.test),
            device=device_name(),
        )

    @override
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._since = _now()
        if self._first_step is None:
            self._first_step = self._since

    @override
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        took = _now() - self._since
        if len(self._warm_up) < WARM_UP and sum(self._warm_up) < LONG:
            self._warm_up.append(took)
            self._plan(took)
        elif self._is_full(state.global_step):
            self._steps.append(took)
            self._on_step(len(self._steps), self._planned)
        enough = len(self._steps) >= self._planned or sum(self._steps) > LONG
        control.should_training_stop = enough
        self._since = _now()

    @override
    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._since = _now()

    @override
    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = _now()
        self._evaluations.append((now - self._since) / self._n_evaluated)
        self._since = now

    @override
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._checkpoints.append(_now() - self._since)

    def _plan(self, step: float) -> None:
        """How many steps are timed and images evaluated: as many as there is time for."""
        self._planned = min(MOST, max(LEAST, math.ceil(SECONDS / step)))
        affordable = math.ceil(SECONDS / step * self._step_images)
        self._n_evaluated = min(len(self._data.val), max(affordable, 1))
        self._trainer.eval_dataset = Images(_first(self._data.val, self._n_evaluated))

    def _is_full(self, step: int) -> bool:
        """Whether the step has all its images: an epoch's last one may not, unless there is no other."""
        per_epoch = math.ceil(len(self._data.train) / self._step_images)
        last = step % per_epoch == 0
        return not last or per_epoch == 1 or len(self._data.train) % self._step_images == 0


def _first(split: Split, n: int) -> Split:
    """Its first images."""
    return Split(
        sample_id=split.sample_id[:n],
        group_id=split.group_id[:n],
        label=split.label[:n],
        images=ImageRows(pixels=split.images.pixels, rows=split.images.rows[:n]),
    )


def _nobody(history: History) -> None:
    """Nobody waits for the epochs of a timing."""


def _now() -> float:
    """The clock, once a GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
