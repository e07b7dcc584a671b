"""transformers' Trainer with what arms that are paired by seed need: batches, pixels, losses and checkpoints."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset
from transformers import EvalPrediction, Trainer, TrainerCallback, TrainingArguments
from typing_extensions import override

from analysis.metrics import OVERALL, overall_scores
from dermtune import checkpoints
from dermtune.ahead import Ahead
from dermtune.config import Config
from dermtune.curriculum import Curriculum
from dermtune.data.dataset import Split
from dermtune.device import in_bfloat16
from dermtune.ema import WeightAverage
from dermtune.flops import Work
from dermtune.ledger import Diverged
from dermtune.losses import MixedLabels
from dermtune.mixup import Mixup
from dermtune.passes import Part, Passes, mirrored, paired
from dermtune.pixels import PixelPipeline
from dermtune.sampling import PowerSampler

History = tuple[Mapping[str, float], ...]
"""One row an epoch: epoch, train_loss, val_loss, val_<metric>, learning_rate, and the columns of `PACE`."""
PACE = ("seconds", "images_per_second", "data_wait", "model_tflop_per_second", "model_flops_utilisation")
"""How fast an epoch was trained: columns that the same trial does not find again.

`data_wait` is the share of the seconds in which the next images were waited for. The last is there where the
device's peak is known.
"""


class Images(TorchDataset[Any]):
    """One split as the Trainer's loader reads it: whole batches gathered from the cache at once."""

    def __init__(self, split: Split, *, mirrored: bool = False) -> None:
        self._split = split
        self._mirrored = mirrored

    def __len__(self) -> int:
        return len(self._split.label)

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        rows = np.asarray(indices, dtype=np.int64)
        images = self._split.images[rows]
        if self._mirrored:
            images = np.ascontiguousarray(images[:, :, ::-1])
        return {"pixel_values": torch.from_numpy(images), "labels": torch.from_numpy(self._split.label[rows])}


def _as_gathered(batch: Any) -> Any:
    """The batch as `Images` gathered it: there is nothing to collate."""
    return batch


class PairedTrainer(Trainer):
    """transformers' Trainer with our sampler, our losses, pixels made on the device, and averaged weights."""

    def __init__(
        self,
        *,
        sampler: PowerSampler,
        curriculum: Curriculum,
        pixels: PixelPipeline,
        mixup: Mixup | None,
        ema: float,
        work: Work,
        passes: Passes,
        on_epoch: Callable[[History], None],
        **kwargs: Any,
    ) -> None:
        self._sampler = sampler
        self._curriculum = curriculum
        self._loss = curriculum.last_loss
        self._pixels = pixels
        self._mixup = mixup
        self._work = work
        self._waited = 0.0
        self._ahead: Ahead | None = None
        self._passes = passes
        self._pass = 0
        self._images_of_step = 0
        self._epoch_started = 0.0
        super().__init__(
            compute_loss_func=self._scaled_loss,
            compute_metrics=self._overall_scores,
            data_collator=_as_gathered,
            callbacks=[_Events(self, on_epoch)],
            **kwargs,
        )
        self._average = WeightAverage(self._network, ema) if ema else None

    @contextlib.contextmanager
    def judged_weights(self) -> Iterator[None]:
        """Inside, the model has the weights that are judged: their running mean where there is one."""
        if self._average is None:
            yield
        else:
            with self._average.standing_in(self._network):
                yield

    def epoch_begins(self) -> None:
        """Take up the epoch's loss and start its clocks."""
        self._loss = self._curriculum.loss(self._epoch())
        self._waited = 0.0
        self._epoch_started = time.perf_counter()

    def epoch_ends(self) -> None:
        """Let go of the loader."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def step_ends(self) -> None:
        """Take the weights into their mean."""
        if self._average is not None:
            self._average.update(self._network)

    def complete(self, checkpoint: Path) -> None:
        """Add to a checkpoint what the Trainer leaves out, and seal it."""
        if self._average is not None:
            self._average.save(checkpoint)
        checkpoints.seal(checkpoint)

    @override
    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self._average is not None:
            self._average.load(Path(resume_from_checkpoint))

    @override
    def _get_train_sampler(self, train_dataset: Any = None) -> PowerSampler:
        return self._sampler

    @override
    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        inputs = super()._prepare_inputs(inputs)
        pixels, labels = self._pixels.normalise(inputs["pixel_values"]), inputs["labels"]
        if self._network.training:
            parts = self._next_pass()
            pixels = self._pixels.mirror(pixels, mirrored(self._pixels, parts))
            if self._mixup is not None:
                pairing = paired(self._mixup, parts)
                pixels, labels = pairing.images(pixels), pairing.labels(labels)
        return {**inputs, "pixel_values": pixels, "labels": labels}

    @override
    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        with self.judged_weights():
            return super().evaluation_loop(*args, **kwargs)

    @override
    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise Diverged(f"training loss is {logs['loss']} in epoch {self._epoch()}")
            logs = {**logs, **self._pace(time.perf_counter() - self._epoch_started)}
        super().log(logs, start_time)

    @override
    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        if self._ahead is None or not self._ahead.reads(epoch_iterator):
            self._ahead = Ahead(epoch_iterator, num_batches, device)  # the passes of the step after this one
        samples, n_items = super().get_batch_samples(self._ahead, num_batches, device)
        self._waited = self._ahead.waited
        self._pass, self._images_of_step = 0, sum(len(sample["labels"]) for sample in samples)
        return samples, n_items

    @property
    def _network(self) -> nn.Module:
        return cast(nn.Module, self.model)

    def _pace(self, seconds: float) -> dict[str, float]:
        """The columns of `PACE` of an epoch that took so long."""
        rate = len(self._sampler) / seconds
        waiting = {"data_wait": self._waited / seconds}
        return {"seconds": seconds, "images_per_second": rate, **waiting, **self._work.rates(rate)}

    def _scaled_loss(
        self, outputs: Any, labels: Tensor | MixedLabels, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """The mean over the images of an optimiser step, of the losses of one forward pass."""
        losses = self._loss(outputs.logits, labels)
        return losses.sum() / (len(losses) if num_items_in_batch is None else num_items_in_batch)

    def _overall_scores(self, evaluated: EvalPrediction) -> dict[str, float]:
        logits = torch.from_numpy(np.asarray(evaluated.predictions, dtype=np.float32))
        if not logits.isfinite().all():
            raise Diverged(f"logits are not finite after epoch {self._epoch()}")
        return dict(overall_scores(np.asarray(evaluated.label_ids), logits.softmax(-1).double().numpy()))

    def _epoch(self) -> int:
        """Epochs that are done, to the nearest whole one: the number of the one that begins, from 0."""
        return round(self.state.epoch or 0)

    def _next_pass(self) -> list[Part]:
        """What the next forward pass has of the recipe's passes; a resumed trial finds the same numbers again."""
        index, self._pass = self._pass, self._pass + 1
        return list(self._passes.parts(self.state.global_step, self._images_of_step, index))


class _Events(TrainerCallback):
    """Tells the trainer when epochs begin and steps end, and hands the history on once its checkpoint is whole."""

    def __init__(self, trainer: PairedTrainer, on_epoch: Callable[[History], None]) -> None:
        self._trainer = trainer
        self._on_epoch = on_epoch

    @override
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.epoch_begins()

    @override
    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.epoch_ends()

    @override
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.step_ends()

    @override
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.complete(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        self._on_epoch(history_of(state.log_history))


class OneDevice(TrainingArguments):
    """Arguments of a process that trains on one device, however many it sees.

    Without this the Trainer would split each batch over all of them by nn.DataParallel, and multiply its size.
    """

    @property
    @override
    def n_gpu(self) -> int:
        return min(1, int(super().n_gpu))


def arguments_for(config: Config, seed: int, checkpoint: Path, passes: Passes) -> TrainingArguments:
    """What the Trainer is told of a trial that leaves its checkpoints in `checkpoint`."""
    training = config.training
    on_gpu = torch.cuda.is_available()
    return OneDevice(
        output_dir=str(checkpoint),
        seed=seed,
        use_cpu=not on_gpu,
        num_train_epochs=training.epochs,
        per_device_train_batch_size=passes.micro_batch,
        per_device_eval_batch_size=training.eval_batch_size,
        gradient_accumulation_steps=passes.per_step,
        activation_checkpointing=training.gradient_checkpointing,
        optim="adamw_torch_fused" if on_gpu else "adamw_torch",
        learning_rate=training.learning_rate * config.levers.learning_rate_factor,
        weight_decay=training.weight_decay,
        warmup_steps=training.warmup_fraction,
        lr_scheduler_type=training.schedule,
        bf16=in_bfloat16(training),
        eval_strategy="epoch",
        logging_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=on_gpu,
        accelerator_config={"non_blocking": on_gpu},
        report_to="none",
        disable_tqdm=True,
    )


def history_of(log_history: list[dict[str, float]]) -> History:
    """One row an epoch from the Trainer's log, where training and evaluation stand in entries of their own.

    Columns are in an order of ours: the log of a resumed trial comes from a checkpoint, where names are sorted.
    """
    rows: dict[float, dict[str, float]] = {}
    for entry in log_history:
        row = rows.setdefault(entry["epoch"], {"epoch": entry["epoch"]})
        if "loss" in entry:
            row["train_loss"] = entry["loss"]
            row |= {key: entry[key] for key in ("learning_rate", *PACE) if key in entry}
        row |= {f"val_{name}": entry[f"eval_{name}"] for name in ("loss", *OVERALL) if f"eval_{name}" in entry}
    return tuple(row for row in rows.values() if "train_loss" in row)
