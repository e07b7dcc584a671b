"""One trial's training: `train(trial, data)` gives its predictions on val and test. No Ray and no MLflow here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import transformers
from numpy.typing import NDArray
from transformers import PreTrainedModel

from analysis.predictions import Predictions
from dermtune import checkpoints
from dermtune.config import Config
from dermtune.crew import ALONE, Crew
from dermtune.crewgroup import agreed
from dermtune.crewtrainer import CrewTrainer, Share, check_shareable, shared
from dermtune.curriculum import Curriculum
from dermtune.data.dataset import Dataset, Split
from dermtune.device import device_name, in_bfloat16, reproducible, strictly_or_else
from dermtune.flops import Work, peak_flops
from dermtune.mixup import Mixup
from dermtune.passes import Passes
from dermtune.pixels import pipeline_for
from dermtune.plan import Trial
from dermtune.sampling import PowerSampler
from dermtune.serving import save_classifier
from dermtune.trainee import check_micro_batch, flops_of, trainee
from dermtune.trainer import History as History
from dermtune.trainer import Images, PairedTrainer, arguments_for, history_of
from dermtune.tuning import merge_adapters


def no_notice(what: str) -> None:
    """The notice callback of a caller that wants to hear none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a trial's training leaves behind."""

    val: Predictions
    test: Predictions
    history: History
    device: str
    """Name of the device that trained."""
    frozen_features: str | None = None
    """Key of the kept features that its head was trained on; None where images went through the backbone."""
    processes: int = 1
    """That trained it together."""
    micro_batch: int | None = None
    """Images that a forward pass held; None where as many as the recipe says."""
    deterministic: bool = True
    """Whether all operations have deterministic kernels on the device: the same trial gives the same bits again."""


def train(
    trial: Trial,
    data: Dataset,
    *,
    checkpoint: Path,
    threads: int,
    on_epoch: Callable[[History], None],
    on_notice: Callable[[str], None] = no_notice,
    keep_at: Path | None = None,
    micro_batch: int | None = None,
    crew: Crew = ALONE,
) -> Outcome:
    """Train one trial to its last epoch, from its newest whole checkpoint where there is one.

    One seed rules initialisation, order and augmentation, the same in every arm. The result is bit-identical on the
    same machine with the same number of threads, also after a kill and a resume, unless an operation has no
    deterministic kernel there: `on_notice` is told, and the outcome says so. The model is kept at `keep_at`.
    `micro_batch` is what a forward pass holds here; another number changes no more than roundings. Of a `crew` each
    process calls this, within its group (`dermtune.crewgroup`): all get the outcome, which is that of one process
    to rounding, and the first alone writes.

    Raises Diverged where the loss is NaN or infinite, ModelError where the model cannot be had, ConfigError where
    it lacks what a lever needs or a crew cannot train it, CheckpointError.
    """

    def run(strict: bool) -> Outcome:
        with reproducible(trial.seed, threads, strict=strict):
            trainer = trainer_of(trial, data, checkpoint, on_epoch, micro_batch, crew)
            newest = agreed(crew, checkpoint, lambda: checkpoints.newest_whole(checkpoint, on_notice))
            with checkpoints.nothing_unpickled(newest):
                trainer.train(resume_from_checkpoint=str(newest) if newest else None)
            outcome = Outcome(
                val=_predict(trainer, trial, data, "val"),
                test=_predict(trainer, trial, data, "test"),
                history=history_of(trainer.state.log_history),
                device=device_name(),
                processes=crew.processes,
                micro_batch=None if micro_batch == trial.config.training.batch_size else micro_batch,
                deterministic=strict,
            )
            if keep_at is not None and crew.rank == 0:
                _keep(trainer, trial, data, keep_at)
            return outcome

    return strictly_or_else(run, on_notice)


def _keep(trainer: PairedTrainer, trial: Trial, data: Dataset, folder: Path) -> None:
    """Write the model that was judged, adapters merged into it; after that the trainer is of no use."""
    model = cast(PreTrainedModel, trainer.model)
    with trainer.judged_weights():
        merge_adapters(model)
        save_classifier(model, trial.config, data.classes, folder)


def trainer_of(
    trial: Trial,
    data: Dataset,
    checkpoint: Path,
    on_epoch: Callable[[History], None],
    micro_batch: int | None = None,
    crew: Crew = ALONE,
) -> PairedTrainer:
    """What trains the trial, its weights fresh: seed before. Raises ModelError, ConfigError.

    `micro_batch` is what a forward pass holds here; None holds what the recipe says.
    """
    config, levers = trial.config, trial.config.levers
    counts = np.bincount(data.train.label, minlength=len(data.classes))
    curriculum = Curriculum(levers=levers, class_counts=counts, epochs=config.training.epochs)
    passes, model = Passes.of(config.training, micro_batch), trainee(config, data.classes)
    check_micro_batch(micro_batch, config, model)
    args = arguments_for(config, trial.seed, checkpoint, passes)
    kind: Callable[..., PairedTrainer] = PairedTrainer
    if crew.processes > 1:
        check_shareable(config, data.classes, crew)
        share = Share(passes=passes, crew=crew)
        args = shared(args, share, config, data.classes)
        kind = partial(CrewTrainer, share=share, seed=trial.seed)
    trainer = kind(
        model=model,
        args=args,
        train_dataset=Images(data.train),
        eval_dataset=Images(data.val),
        sampler=PowerSampler(data.train.label, levers.sampler_power, trial.seed, curriculum.progress),
        curriculum=curriculum,
        pixels=pipeline_for(config.model, config.training, trial.seed),
        mixup=Mixup(alpha=levers.mixup, seed=trial.seed) if levers.mixup else None,
        ema=levers.ema,
        work=_work(config, data.classes, args.world_size),
        passes=passes,
        on_epoch=on_epoch,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def _work(config: Config, classes: tuple[str, ...], n_devices: int) -> Work:
    """What a training image costs, and what so many devices like this one could do."""
    peak = peak_flops(device_name(), bfloat16=in_bfloat16(config.training))
    return Work(flops=flops_of(config, classes).training, peak=None if peak is None else n_devices * peak)


def _predict(trainer: PairedTrainer, trial: Trial, data: Dataset, name: str) -> Predictions:
    split: Split = getattr(data, name)
    return predictions_of(
        trial, data, name, _logits(trainer, Images(split)), _logits(trainer, Images(split, mirrored=True))
    )


def predictions_of(
    trial: Trial, data: Dataset, name: str, logits: NDArray[np.float32], logits_hflip: NDArray[np.float32]
) -> Predictions:
    """A trial's predictions on a split, from its logits [N, K] of the images and of the mirrored images."""
    split: Split = getattr(data, name)
    return Predictions(
        arm=trial.arm,
        seed=trial.seed,
        split=name,
        trial_id=trial.trial_id,
        classes=data.classes,
        sample_id=split.sample_id,
        group_id=split.group_id,
        label=split.label.astype(np.int16),
        logits=logits,
        logits_hflip=logits_hflip,
    )


def _logits(trainer: PairedTrainer, images: Images) -> NDArray[np.float32]:
    return np.asarray(trainer.predict(images).predictions, dtype=np.float32)
