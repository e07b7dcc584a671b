"""The trainer of a process that trains a trial with others: its part of each step, under torch's DDP."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import TrainingArguments
from typing_extensions import override

from dermtune.config import Config, ConfigError
from dermtune.cosine import compare_directions
from dermtune.crew import Crew, Part, part_of
from dermtune.losses import MixedLabels
from dermtune.model import describe_model, weightless_model
from dermtune.sampling import PowerSampler
from dermtune.trainer import PairedTrainer
from dermtune.tuning import tune

NOT_COUNTED = -100
"""The label of an image that fills an empty part: the Trainer leaves it out of the step's count."""


class PartSampler(Sampler[list[int]]):
    """The epoch's forward passes that this process has a part in, as image indices: each pass whole, [batch_size].

    Every process of the crew has as many of them: one that is past the epoch's last pass is empty.
    """

    def __init__(self, sampler: PowerSampler, part: Part) -> None:
        self._sampler = sampler
        self._part = part

    def __len__(self) -> int:
        return math.ceil(math.ceil(len(self._sampler) / self._part.batch_size) / self._part.at_once)

    def __iter__(self) -> Iterator[list[int]]:
        order, size = list(self._sampler), self._part.batch_size
        for own in range(len(self)):
            first = self._part.number(own) * size
            yield order[first : first + size]


class CrewTrainer(PairedTrainer):
    """PairedTrainer on one process's part of each step; together they take the steps that one process would.

    A forward pass is mirrored and blended as a whole, then each process takes its rows of it: the numbers that were
    drawn for an image are the same on one process and on many. The step's loss is the mean over its images on all
    processes: the Trainer counts them over all, and undoes DDP's mean over the processes.
    """

    def __init__(self, *, part: Part, seed: int, **kwargs: Any) -> None:
        self._part = part
        self._seed = seed
        super().__init__(**kwargs)

    @override
    def epoch_begins(self) -> None:
        """Take up the epoch's loss, its order, and random numbers that a resumed trial finds again."""
        super().epoch_begins()
        self._sampler.set_epoch(self._epoch())
        state = np.random.SeedSequence((self._seed, self._epoch(), self._part.crew.rank, _STREAM))
        torch.manual_seed(int(state.generate_state(1, np.uint64)[0]) >> 1)  # dropout's, where a model has any

    @override
    def complete(self, checkpoint: Path) -> None:
        if self._part.crew.rank == 0:  # the others have written nothing
            super().complete(checkpoint)

    @override
    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(
            cast(Any, self.train_dataset),
            batch_sampler=PartSampler(self._sampler, self._part),
            collate_fn=self._with_own_labels,
            pin_memory=self.args.dataloader_pin_memory,
        )

    @override
    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        found = super().evaluation_loop(*args, **kwargs)
        # The Trainer's own mean counts images that fill up the last batches of some processes.
        found.metrics[f"{kwargs['metric_key_prefix']}_loss"] = self._mean_loss(found)
        return found

    @override
    def _save_rng_state(self, output_dir: str) -> None:
        """Nothing: an epoch's random numbers are drawn from the seed, see `epoch_begins`."""

    @override
    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Nothing, as they are not saved."""

    @override
    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if "labels_of_pass" not in inputs:
            return super()._prepare_inputs(inputs)
        labels_of_pass = inputs["labels_of_pass"]
        whole = super()._prepare_inputs({"pixel_values": inputs["pixel_values"], "labels": labels_of_pass})
        rows = self._part.rows(len(labels_of_pass))
        pixels = whole["pixel_values"][rows]
        if not len(pixels):
            pixels = pixels.new_zeros(
                (1, *pixels.shape[1:])
            )  # each process answers for every pass, DDP waits for it
        return {"pixel_values": pixels, "labels": _rows(whole["labels"], rows)}

    def _with_own_labels(self, batch: Any) -> Mapping[str, Tensor]:
        """A pass as `Images` gathered it, with the labels of this process's part for the Trainer to count."""
        own = batch["labels"][self._part.rows(len(batch["labels"]))]
        counted = own if len(own) else torch.full((1,), NOT_COUNTED)
        return {**batch, "labels": counted, "labels_of_pass": batch["labels"]}

    @override
    def _next_micro_step(self) -> int:
        return self._part.number(super()._next_micro_step())

    @override
    def _scaled_loss(
        self, outputs: Any, labels: Tensor | MixedLabels, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        n = len(labels.own if isinstance(labels, MixedLabels) else labels)
        counted = SimpleNamespace(logits=outputs.logits[:n])  # without the one that fills an empty part
        return super()._scaled_loss(counted, labels, num_items_in_batch)

    def _mean_loss(self, evaluated: Any) -> float:
        logits = torch.from_numpy(np.asarray(evaluated.predictions, dtype=np.float32))
        return float(self._loss(logits, torch.from_numpy(np.asarray(evaluated.label_ids))).mean())


_STREAM = 2
"""Sets these numbers apart from all that (seed, epoch) and (seed, step) draw elsewhere."""


def _rows(labels: Tensor | MixedLabels, rows: slice) -> Tensor | MixedLabels:
    if isinstance(labels, MixedLabels):
        return MixedLabels(own=labels.own[rows], partners=labels.partners[rows], share=labels.share)
    return labels[rows]


def shared(arguments: TrainingArguments, part: Part, config: Config, classes: tuple[str, ...]) -> TrainingArguments:
    """The arguments of one process of a crew, from those of one by itself."""
    arguments.per_device_train_batch_size = part.images
    arguments.gradient_accumulation_steps = part.passes
    arguments.ddp_find_unused_parameters = bool(_idle_weights(config, classes))
    return arguments


def check_shareable(config: Config, classes: tuple[str, ...], crew: Crew) -> None:
    """Raises ConfigError where such a crew cannot train what one process would."""
    part_of(config.training, crew)
    model = weightless_model(describe_model(config.model, classes), config.model)
    normalising = [type(m).__name__ for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if normalising:
        raise ConfigError(
            f"a trial of {crew.processes} processes must have a model without batch normalisation, which would see "
            f"a part of each batch, got {model.config.model_type} with {normalising[0]}: --processes-per-trial 1"
        )


def _idle_weights(config: Config, classes: tuple[str, ...]) -> Sequence[str]:
    """Trainable weights that no loss reaches, by name, found on shapes alone: DDP must be told of any."""
    model = weightless_model(describe_model(config.model, classes), config.model)
    if config.levers.ldam:
        compare_directions(model)
    tune(model, config.levers)
    side = config.data.image_size
    images = torch.zeros(1, 3, side, side, device="meta")
    model.train()(pixel_values=images).logits.sum().backward()
    return [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
