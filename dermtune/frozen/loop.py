"""Heads trained in step on the same features: what the Trainer does with each of them, done for all at once."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.metrics import overall_scores
from dermtune.curriculum import Curriculum
from dermtune.frozen.backbone import Head
from dermtune.frozen.batches import Batch, Streams
from dermtune.frozen.features import MIRRORED, ORIGINAL, Features, Floats, View
from dermtune.frozen.stack import Member, Pace, Stack, sorting_key
from dermtune.ledger import Diverged
from dermtune.levers import Levers
from dermtune.losses import ClassificationLoss
from dermtune.plan import Trial
from dermtune.trainer import History

OnEpoch = Callable[[Mapping[str, History]], None]
"""Told after an epoch the history of each trial that goes on, by trial_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedHead:
    """What one trial's training leaves behind."""

    head: Head
    """The one that is judged."""
    history: History
    val: Floats
    """Logits [N, K]."""
    val_hflip: Floats
    test: Floats
    test_hflip: Floats


def train_heads(
    trials: Sequence[Trial],
    heads: Mapping[int, Head],
    features: Features,
    labels: Mapping[str, NDArray[np.int64]],
    on_epoch: OnEpoch,
) -> Mapping[str, TrainedHead | Diverged]:
    """By trial_id the trained head, or how the trial diverged, which ends no other.

    All trials have the same features, batch size and number of epochs (`dermtune.frozen.bundles`). On a CPU a trial
    gets the same bits whichever others are in its bundle, on one thread whatever is asked for.

    Args:
        trials: in any order.
        heads: by seed, what a trial starts from.
        features: of their backbone.
        labels: by split, class indices.
        on_epoch: told after each epoch.
    """
    with _one_thread():
        bundle = _Bundle(trials, heads, features, labels)
        for epoch in range(trials[0].config.training.epochs):
            if not bundle.under_way:
                break
            if rows := bundle.epoch(epoch):
                on_epoch(rows)
        return bundle.results()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Products are small, and split over threads their sums would depend on how many heads there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(slots=True, kw_only=True)
class _Part:
    """One trial of a bundle."""

    trial: Trial
    member: int
    """Its place in the stack."""
    history: list[Mapping[str, float]]
    diverged: Diverged | None = None


@dataclass(frozen=True, slots=True)
class _Form:
    """Places in the stack that share a loss in every epoch."""

    curriculum: Curriculum
    members: Tensor


class _Bundle:
    """The trials under way."""

    def __init__(
        self, trials: Sequence[Trial], heads: Mapping[int, Head], features: Features,
        labels: Mapping[str, NDArray[np.int64]],
    ) -> None:  # fmt: skip
        training = trials[0].config.training
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._features, self._labels = features, labels
        self._counts = np.bincount(labels["train"], minlength=len(heads[trials[0].seed].bias))
        curricula = [self._curriculum(trial) for trial in trials]
        self._streams = Streams(trials, curricula, features.train, labels["train"], self._device)
        n_steps = training.epochs * self._streams.steps_per_epoch
        members = {trial.trial_id: self._member(trial, heads[trial.seed], n_steps) for trial in trials}
        in_order = sorted(trials, key=lambda trial: sorting_key(members[trial.trial_id]))
        stacked = [members[trial.trial_id] for trial in in_order]
        self._stack = Stack(stacked, n_steps, self._device)
        self._parts = [_Part(trial=trial, member=i, history=[]) for i, trial in enumerate(in_order)]
        self._stream_of = torch.tensor([member.stream for member in stacked], device=self._device)
        self._forms = self._grouped(in_order)
        self._val = self._on_device(features.val[ORIGINAL])

    @property
    def under_way(self) -> bool:
        """Whether a trial has not diverged."""
        return any(part.diverged is None for part in self._parts)

    def epoch(self, epoch: int) -> Mapping[str, History]:
        """Train all by an epoch; by trial_id each history, but for those that diverged."""
        began = time.perf_counter()
        losses = [form.curriculum.loss(epoch) for form in self._forms]
        total = torch.zeros(len(self._parts), device=self._device)
        for batch in self._streams.epoch(epoch):
            total += self._step(batch, losses)
        train_loss = (total / self._streams.steps_per_epoch).tolist()
        seconds = (time.perf_counter() - began) / len(self._parts)
        loss_of = {i: loss for form, loss in zip(self._forms, losses, strict=True) for i in form.members.tolist()}
        for part in self._parts:
            if part.diverged is None:
                self._judge(part, epoch, train_loss[part.member], seconds, loss_of[part.member])
        return {part.trial.trial_id: tuple(part.history) for part in self._parts if part.diverged is None}

    def results(self) -> Mapping[str, TrainedHead | Diverged]:
        """By trial_id."""
        return {part.trial.trial_id: part.diverged or self._trained(part) for part in self._parts}

    def _step(self, batch: Batch, losses: Sequence[ClassificationLoss]) -> Tensor:
        """Each trial's loss, [T], after the step that it led to."""
        logits = self._stack.logits(batch.features)
        labels = batch.labels[self._stream_of]
        of_step = torch.zeros(len(self._parts), device=self._device)
        for form, loss in zip(self._forms, losses, strict=True):
            alike, their_labels = logits[form.members], labels[form.members]
            each = loss(alike.flatten(0, 1), their_labels.flatten()).view(their_labels.shape)
            of_step = of_step.index_copy(0, form.members, each[:, : batch.n].sum(1) / batch.n)
        self._stack.step(of_step)
        return of_step.detach()

    def _judge(self, part: _Part, epoch: int, train_loss: float, seconds: float, loss: ClassificationLoss) -> None:
        """Add the epoch's row, or how the trial diverged, in the words of `dermtune.trainer`."""
        if not math.isfinite(train_loss):
            part.diverged = Diverged(f"training loss is {train_loss} in epoch {epoch + 1}")
            return
        logits = self._stack.judged_logits(part.member, self._val).cpu()
        if not logits.isfinite().all():
            part.diverged = Diverged(f"logits are not finite after epoch {epoch + 1}")
            return
        labels = torch.from_numpy(self._labels["val"])
        scores = overall_scores(self._labels["val"], logits.softmax(-1).double().numpy())
        part.history.append({
            "epoch": float(epoch + 1),
            "train_loss": train_loss,
            "learning_rate": self._stack.learning_rate(part.member),
            "seconds": seconds,
            "images_per_second": len(self._labels["train"]) / seconds,
            "val_loss": float(loss(logits, labels).mean()),
            **{f"val_{name}": score for name, score in scores.items()},
        })  # fmt: skip

    def _trained(self, part: _Part) -> TrainedHead:
        return TrainedHead(
            head=self._stack.judged_head(part.member),
            history=tuple(part.history),
            val=self._logits(part, self._features.val, ORIGINAL),
            val_hflip=self._logits(part, self._features.val, MIRRORED),
            test=self._logits(part, self._features.test, ORIGINAL),
            test_hflip=self._logits(part, self._features.test, MIRRORED),
        )

    def _logits(self, part: _Part, features: Mapping[View, Floats], view: View) -> Floats:
        logits = self._stack.judged_logits(part.member, self._on_device(features[view]))
        return np.asarray(logits.cpu().numpy(), dtype=np.float32)

    def _on_device(self, features: Floats) -> Tensor:
        return torch.from_numpy(features).to(self._device)

    def _curriculum(self, trial: Trial) -> Curriculum:
        config = trial.config
        return Curriculum(levers=config.levers, class_counts=self._counts, epochs=config.training.epochs)

    def _member(self, trial: Trial, head: Head, n_steps: int) -> Member:
        levers = trial.config.levers
        return Member(
            head=head,
            pace=Pace.of(trial.config, n_steps),
            stream=self._streams.number(trial),
            cosine=levers.ldam > 0,
            ema=levers.ema,
        )

    def _grouped(self, in_order: Sequence[Trial]) -> tuple[_Form, ...]:
        """Trials whose levers are the same, whatever their seeds: one call of the loss serves them all."""
        alike: dict[Levers, list[int]] = {}
        for i, trial in enumerate(in_order):
            alike.setdefault(trial.config.levers, []).append(i)
        return tuple(
            _Form(self._curriculum(in_order[members[0]]), torch.tensor(members, device=self._device))
            for members in alike.values()
        )
