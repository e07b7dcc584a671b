"""One trial's training: `train(trial, data)` gives its predictions on val and test. No Ray and no MLflow here."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset
from transformers import EvalPrediction, PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from typing_extensions import override

from analysis.metrics import overall_scores
from analysis.predictions import Predictions
from dermtune import checkpoints
from dermtune.config import ConfigError, TrainingConfig
from dermtune.data.dataset import Dataset, Split
from dermtune.ledger import Diverged
from dermtune.losses import ClassificationLoss, loss_for
from dermtune.model import build_model, check_image_size
from dermtune.pixels import PixelPipeline, pipeline_for
from dermtune.plan import Trial
from dermtune.sampling import PowerSampler, training_prior
from dermtune.serving import save_classifier

History = tuple[Mapping[str, float], ...]
"""One row an epoch: epoch, train_loss, val_loss, val_<metric>, learning_rate, seconds, images_per_second."""


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


def train(
    trial: Trial,
    data: Dataset,
    *,
    checkpoint: Path,
    threads: int,
    on_epoch: Callable[[History], None],
    on_notice: Callable[[str], None] = no_notice,
    keep_at: Path | None = None,
) -> Outcome:
    """Train one trial to its last epoch, from its newest whole checkpoint where there is one.

    One seed rules initialisation, order and augmentation, the same in every arm. The result is bit-identical on the
    same machine with the same number of threads, also after a kill and a resume. The model is kept at `keep_at`.

    Raises Diverged where the loss is NaN or infinite, ModelError where the model cannot be had, CheckpointError.
    """
    with _reproducible(trial.seed, threads):
        trainer = _trainer(trial, data, checkpoint, on_epoch)
        newest = checkpoints.newest_whole(checkpoint, on_notice)
        with checkpoints.nothing_unpickled(newest):
            trainer.train(resume_from_checkpoint=str(newest) if newest else None)
        if keep_at is not None:
            save_classifier(cast(PreTrainedModel, trainer.model), trial.config, data.classes, keep_at)
        return Outcome(
            val=_predict(trainer, trial, data, "val"),
            test=_predict(trainer, trial, data, "test"),
            history=_history(trainer.state.log_history),
            device=_device_name(trainer.args.device),
        )


class _Images(TorchDataset[Any]):
    """One split as the Trainer's loader reads it: whole batches gathered from the cache at once."""

    def __init__(self, split: Split, *, mirrored: bool = False) -> None:
        self._split = split
        self._mirrored = mirrored

    def __len__(self) -> int:
        return len(self._split.label)

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        images = self._split.images[np.asarray(indices)]
        if self._mirrored:
            images = np.ascontiguousarray(images[:, :, ::-1])
        return {"pixel_values": torch.from_numpy(images), "labels": torch.from_numpy(self._split.label[indices])}


def _as_gathered(batch: Any) -> Any:
    """The batch as `_Images` gathered it: there is nothing to collate."""
    return batch


class _PairedTrainer(Trainer):
    """transformers' Trainer with our sampler, our loss, and pixels made on the device."""

    def __init__(
        self, *, sampler: PowerSampler, loss: ClassificationLoss, pixels: PixelPipeline, **kwargs: Any
    ) -> None:
        self._sampler = sampler
        self._pixels = pixels
        self._micro_step = (-1, 0)
        self._epoch_started = 0.0

        def scaled_loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
            losses = loss(outputs.logits, labels)
            return losses.sum() / (len(losses) if num_items_in_batch is None else num_items_in_batch)

        super().__init__(
            compute_loss_func=scaled_loss,
            compute_metrics=self._overall_scores,
            data_collator=_as_gathered,
            **kwargs,
        )

    @override
    def _get_train_sampler(self, train_dataset: Any = None) -> PowerSampler:
        return self._sampler

    @override
    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        inputs = super()._prepare_inputs(inputs)
        pixels = self._pixels.normalise(inputs["pixel_values"])
        if cast(nn.Module, self.model).training:
            pixels = self._pixels.augment(pixels, self._next_micro_step())
        return {**inputs, "pixel_values": pixels}

    @override
    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise Diverged(f"training loss is {logs['loss']} in epoch {self._epoch()}")
            seconds = time.perf_counter() - self._epoch_started
            logs = {**logs, "seconds": seconds, "images_per_second": len(self._sampler) / seconds}
        super().log(logs, start_time)

    def epoch_begins(self) -> None:
        self._epoch_started = time.perf_counter()

    def _overall_scores(self, evaluated: EvalPrediction) -> dict[str, float]:
        logits = torch.from_numpy(np.asarray(evaluated.predictions, dtype=np.float32))
        if not logits.isfinite().all():
            raise Diverged(f"logits are not finite after epoch {self._epoch()}")
        return dict(overall_scores(np.asarray(evaluated.label_ids), logits.softmax(-1).double().numpy()))

    def _epoch(self) -> int:
        return round(self.state.epoch or 0)

    def _next_micro_step(self) -> int:
        """A number for each forward pass that a resumed trial finds again: the step, and the pass inside it."""
        step, passes = self._micro_step
        passes = passes + 1 if step == self.state.global_step else 0
        self._micro_step = (self.state.global_step, passes)
        return self.state.global_step * self.args.gradient_accumulation_steps + passes


class _EpochEvents(TrainerCallback):
    """Times epochs, seals each checkpoint and hands the history on once the checkpoint that holds it is whole."""

    def __init__(self, on_epoch: Callable[[History], None]) -> None:
        self._on_epoch = on_epoch
        self.trainer: _PairedTrainer | None = None

    @override
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer is not None:
            self.trainer.epoch_begins()

    @override
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        checkpoints.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        self._on_epoch(_history(state.log_history))


def _trainer(trial: Trial, data: Dataset, checkpoint: Path, on_epoch: Callable[[History], None]) -> _PairedTrainer:
    config, power = trial.config, trial.config.levers.sampler_power
    counts = np.bincount(data.train.label, minlength=len(data.classes))
    events = _EpochEvents(on_epoch)
    model = build_model(config.model, data.classes)
    check_image_size(model.config, config.data.image_size)
    _check_recomputation(model, config.training)
    if config.training.channels_last:
        cast(Any, model).to(memory_format=torch.channels_last)
    events.trainer = _PairedTrainer(
        model=model,
        args=_arguments(config.training, trial.seed, checkpoint),
        train_dataset=_Images(data.train),
        eval_dataset=_Images(data.val),
        callbacks=[events],
        sampler=PowerSampler(data.train.label, power, trial.seed),
        loss=loss_for(config.levers, training_prior(counts, power)),
        pixels=pipeline_for(config.model, config.training, trial.seed),
    )
    events.trainer.remove_callback(transformers.PrinterCallback)
    return events.trainer


def _check_recomputation(model: PreTrainedModel, training: TrainingConfig) -> None:
    if training.gradient_checkpointing and not model.supports_gradient_checkpointing:
        raise ConfigError(f"`gradient_checkpointing` must be False with {model.config.model_type}, which has none")


def _arguments(training: TrainingConfig, seed: int, checkpoint: Path) -> TrainingArguments:
    on_gpu = torch.cuda.is_available()
    bfloat16 = training.precision == "bfloat16" or (
        training.precision == "auto" and on_gpu and torch.cuda.is_bf16_supported()
    )
    return TrainingArguments(
        output_dir=str(checkpoint),
        seed=seed,
        use_cpu=not on_gpu,
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.eval_batch_size,
        gradient_accumulation_steps=training.accumulation,
        activation_checkpointing=training.gradient_checkpointing,
        optim="adamw_torch",
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        warmup_steps=training.warmup_fraction,
        lr_scheduler_type=training.schedule,
        bf16=bfloat16,
        eval_strategy="epoch",
        logging_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=on_gpu,
        report_to="none",
        disable_tqdm=True,
    )


def _predict(trainer: _PairedTrainer, trial: Trial, data: Dataset, name: str) -> Predictions:
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
        logits=_logits(trainer, _Images(split)),
        logits_hflip=_logits(trainer, _Images(split, mirrored=True)),
    )


def _logits(trainer: _PairedTrainer, images: _Images) -> NDArray[np.float32]:
    return np.asarray(trainer.predict(images).predictions, dtype=np.float32)


def _history(log_history: list[dict[str, float]]) -> History:
    """One row an epoch from the Trainer's log, where training and evaluation stand in entries of their own."""
    rows: dict[float, dict[str, float]] = {}
    for entry in log_history:
        row = rows.setdefault(entry["epoch"], {"epoch": entry["epoch"]})
        if "loss" in entry:
            row["train_loss"] = entry["loss"]
            row |= {key: entry[key] for key in ("learning_rate", "seconds", "images_per_second")}
        row |= {f"val_{k.removeprefix('eval_')}": v for k, v in entry.items() if _is_val_score(k)}
    return tuple(row for row in rows.values() if "train_loss" in row)


def _is_val_score(key: str) -> bool:
    return key.startswith("eval_") and not key.endswith(("runtime", "_per_second"))


@contextlib.contextmanager
def _reproducible(seed: int, threads: int) -> Iterator[None]:
    """Seeds, deterministic kernels, a fixed number of threads and a quiet Trainer, also in a reused process."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    transformers.set_seed(seed)
    try:
        yield
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
