"""The trainer of a process that trains a trial with others: its share of each step, under torch's DDP."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from accelerate.data_loader import prepare_data_loader
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import TrainingArguments
from typing_extensions import override

from dermtune.config import Config, ConfigError
from dermtune.cosine import compare_directions
from dermtune.crew import Crew
from dermtune.losses import MixedLabels
from dermtune.model import describe_model, weightless_model
from dermtune.passes import Part, Passes
from dermtune.sampling import PowerSampler
from dermtune.trainer import PairedTrainer
from dermtune.tuning import tune

NOT_COUNTED = -100
"""The label of an image that fills an empty share: the Trainer leaves it out of the step's count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One process's share of the forward passes of every optimiser step.

    Of a step's passes, as one process would make them, several are under way at once, and where there are more
    processes than passes, several share one.
    """

    passes: Passes
    """As one process makes them."""
    crew: Crew

    @property
    def at_once(self) -> int:
        """Passes of a step that are under way at a time."""
        return math.gcd(self.passes.per_step, self.crew.processes)

    @property
    def sharers(self) -> int:
        """Processes that share a pass."""
        return self.crew.processes // self.at_once

    @property
    def images(self) -> int:
        """Images of this process in a pass."""
        return self.passes.micro_batch // self.sharers

    @property
    def per_step(self) -> int:
        """Passes of a step that this process takes part in."""
        return self.passes.per_step // self.at_once

    def number(self, own: int) -> int:
        """Number of the pass, of a step's or an epoch's, that is this process's `own`th; both from 0."""
        return own * self.at_once + self.crew.rank // self.sharers

    def rows(self, n: int) -> slice:
        """This process's images in a pass of `n`; none in an epoch's last one where the others have them all."""
        first = self.crew.rank % self.sharers * self.images
        return slice(min(first, n), min(first + self.images, n))


class ShareSampler(Sampler[list[int]]):
    """The epoch's passes that this process has a share in, as image indices: each pass whole, [micro_batch].

    Every process of the crew has as many of them: one that is past the epoch's last pass is empty.
    """

    def __init__(self, sampler: PowerSampler, share: Share) -> None:
        self._sampler = sampler
        self._share = share

    def __len__(self) -> int:
        n_passes = math.ceil(len(self._sampler) / self._share.passes.micro_batch)
        return math.ceil(n_passes / self._share.at_once)

    def __iter__(self) -> Iterator[list[int]]:
        order, size = list(self._sampler), self._share.passes.micro_batch
        for own in range(len(self)):
            first = self._share.number(own) * size
            yield order[first : first + size]


class CrewTrainer(PairedTrainer):
    """PairedTrainer on one process's share of each step; together they take the steps that one process would.

    A pass is mirrored and blended as a whole, then each process takes its rows of it: the numbers that were drawn
    for an image are the same on one process and on many. The step's loss is the mean over its images on all
    processes: the Trainer counts them over all, and undoes DDP's mean over the processes.
    """

    def __init__(self, *, share: Share, seed: int, **kwargs: Any) -> None:
        self._share = share
        self._seed = seed
        super().__init__(**kwargs)

    @override
    def epoch_begins(self) -> None:
        """Take up the epoch's loss, its order, and random numbers that a resumed trial finds again."""
        super().epoch_begins()
        self._sampler.set_epoch(self._epoch())
        state = np.random.SeedSequence((self._seed, self._epoch(), self._share.crew.rank, _STREAM))
        torch.manual_seed(int(state.generate_state(1, np.uint64)[0]) >> 1)  # dropout's, where a model has any

    @override
    def complete(self, checkpoint: Path) -> None:
        if self._share.crew.rank == 0:  # the others have written nothing
            super().complete(checkpoint)

    @override
    def get_train_dataloader(self) -> DataLoader[Any]:
        loader = DataLoader(
            cast(Any, self.train_dataset),
            batch_sampler=ShareSampler(self._sampler, self._share),
            collate_fn=self._with_own_labels,
            pin_memory=self.args.dataloader_pin_memory,
        )
        # It is dealt out already: accelerate is to put batches on the device and nothing else.
        to_device = {"put_on_device": True, "non_blocking": self.args.dataloader_pin_memory}
        device = self.accelerator.device
        return cast(
            DataLoader[Any],
            prepare_data_loader(loader, device=device, num_processes=1, process_index=0, **to_device),
        )

    @override
    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        found = super().get_batch_samples(epoch_iterator, num_batches, device)
        n, size = len(self._sampler), self._share.passes.per_step * self._share.passes.micro_batch
        self._images_of_step = min(
            size, n - self.state.global_step % math.ceil(n / size) * size
        )  # on all processes
        return found

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
        pixels, labels = inputs["pixel_values"], inputs["labels_of_pass"]
        rows = self._share.rows(len(labels))
        if len(labels):
            whole = super()._prepare_inputs({"pixel_values": pixels, "labels": labels})
            pixels, labels = whole["pixel_values"][rows], _rows(whole["labels"], rows)
        else:
            self._next_pass()
        if rows.start == rows.stop:  # DDP waits for every process in every pass: a blank image, that is not counted
            blank = inputs["pixel_values"].new_zeros((1, *inputs["pixel_values"].shape[1:]))
            pixels = self._pixels.normalise(blank)
        return {"pixel_values": pixels, "labels": labels}

    def _with_own_labels(self, batch: Any) -> Mapping[str, Tensor]:
        """A pass as `Images` gathered it, with the labels of this process's share for the Trainer to count."""
        own = batch["labels"][self._share.rows(len(batch["labels"]))]
        counted = own if len(own) else torch.full((1,), NOT_COUNTED)
        return {**batch, "labels": counted, "labels_of_pass": batch["labels"]}

    @override
    def _next_pass(self) -> list[Part]:
        index, self._pass = self._share.number(self._pass), self._pass + 1
        return list(self._passes.parts(self.state.global_step, self._images_of_step, index))

    @override
    def _scaled_loss(
        self, outputs: Any, labels: Tensor | MixedLabels, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        n = len(labels.own if isinstance(labels, MixedLabels) else labels)
        counted = SimpleNamespace(logits=outputs.logits[:n])  # without the one that fills an empty share
        return super()._scaled_loss(counted, labels, num_items_in_batch)

    def _mean_loss(self, evaluated: Any) -> float:
        logits = torch.from_numpy(np.asarray(evaluated.predictions, dtype=np.float32))
        return float(self._loss(logits, torch.from_numpy(np.asarray(evaluated.label_ids))).mean())


_STREAM = 2
"""Sets these numbers apart from all that (seed, epoch) and (seed, step) draw elsewhere."""


def _rows(labels: Tensor | MixedLabels, rows: slice) -> Tensor | MixedLabels:
    if isinstance(labels, MixedLabels):
        share = labels.share if isinstance(labels.share, float) else labels.share[rows]
        return MixedLabels(own=labels.own[rows], partners=labels.partners[rows], share=share)
    return labels[rows]


def shared(
    arguments: TrainingArguments, share: Share, config: Config, classes: tuple[str, ...]
) -> TrainingArguments:
    """The arguments of one process of a crew, from those of one by itself."""
    arguments.per_device_train_batch_size = share.images
    arguments.gradient_accumulation_steps = share.per_step
    arguments.ddp_find_unused_parameters = bool(_idle_weights(config, classes))
    return arguments


def check_shareable(config: Config, classes: tuple[str, ...], crew: Crew) -> None:
    """Raises ConfigError where such a crew cannot train what one process would."""
    training = config.training
    if training.batch_size * training.accumulation % crew.processes:
        raise ConfigError(
            f"the images of an optimiser step, `batch_size` {training.batch_size} x `accumulation` "
            f"{training.accumulation}, must be divisible by the processes that train a trial, got {crew.processes}"
        )
    model = weightless_model(describe_model(config.model, classes), config.model)
    normalising = [type(m).__name__ for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if normalising:
        raise ConfigError(
            f"a trial of {crew.processes} processes must have a model without batch normalisation, which would see "
            f"a part of each batch, got {model.config.model_type} with {normalising[0]}: --processes-per-trial 1"
        )


def _idle_weights(config: Config, classes: tuple[str, ...]) -> Sequence[str]:
    """Trainable weights that no loss reaches, by name, found on shapes alone: DDP must be told of any."""
    with torch.random.fork_rng(devices=[]):  # the trial's own numbers are drawn after it
        model = weightless_model(describe_model(config.model, classes), config.model)
        if config.levers.ldam:
            compare_directions(model)
        tune(model, config.levers)
    side = config.data.image_size
    images = torch.zeros(1, 3, side, side, device="meta")
    model.train()(pixel_values=images).logits.sum().backward()
    return [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
