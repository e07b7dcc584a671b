"""Many heads as one: stacked weights, moved by torch's AdamW as the Trainer would move each of them."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import get_scheduler

from dermtune.config import Config
from dermtune.frozen.backbone import Head
from dermtune.losses import LDAM_SCALE

MAX_NORM = 1.0
"""At which each head's gradient is clipped; the Trainer's default, of which a config says no other."""
_LANES = 16
"""Floats of a processor's widest vector: a head's numbers begin where one begins, or its bits would depend on
those that lie beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What rules the size of a head's steps."""

    learning_rate: float
    weight_decay: float
    schedule: str
    warmup_steps: int

    @classmethod
    def of(cls, config: Config, n_steps: int) -> "Pace":
        """The pace that the Trainer would take of `n_steps` steps."""
        training = config.training
        return cls(
            learning_rate=training.learning_rate * config.levers.learning_rate_factor,
            weight_decay=training.weight_decay,
            schedule=training.schedule,
            warmup_steps=int(-(-n_steps * training.warmup_fraction // 1)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One head of the stack."""

    head: Head
    """Its starting weights."""
    pace: Pace
    stream: int
    """Number of the stream of images that it sees."""
    cosine: bool
    """Whether it compares directions alone, see `dermtune.cosine`."""
    ema: float
    """Decay of its running mean; 0 is off."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbours that see the same images and make logits of them alike."""

    members: slice
    stream: int
    cosine: bool


class Stack:
    """T heads; those of one pace stand together, and among them those of one form and stream."""

    def __init__(self, members: Sequence[Member], n_steps: int, device: torch.device) -> None:
        """The starting heads; `members` must be in the order of `sorting_key`."""
        weights = torch.stack([member.head.weight for member in members])
        _, self._k, self._d = weights.shape
        self._weight = _padded(weights.flatten(1)).to(device)
        biases = torch.stack([member.head.bias * (not member.cosine) for member in members])
        self._bias = _padded(biases).to(device)
        self._runs = tuple(_runs(members))
        self._paces = tuple(self._moved(members, n_steps))
        self._averages = _Averages(members, device)

    def logits(self, streams: Sequence[Tensor]) -> Tensor:
        """Logits [T, B, K] of each head on its stream's features [B, D], to be learnt from by `step`."""
        self._leaves = [
            (self._weight[run.members].requires_grad_(), self._bias[run.members].requires_grad_())
            for run in self._runs
        ]
        return torch.cat(
            [
                self._forward(run.cosine, streams[run.stream], weight, bias)
                for run, (weight, bias) in zip(self._runs, self._leaves, strict=True)
            ]
        )

    def step(self, losses: Tensor) -> None:
        """One optimiser step from each head's loss, [T]."""
        leaves = tuple(itertools.chain.from_iterable(self._leaves))
        gradients = torch.autograd.grad(losses.sum(), leaves, allow_unused=True, materialize_grads=True)
        weight, bias = torch.cat(gradients[::2]), torch.cat(gradients[1::2])
        norm = (weight.square().sum(1) + bias.square().sum(1)).sqrt()
        factor = (MAX_NORM / (norm + 1e-6)).clamp(max=1.0)[:, None]
        weight.mul_(factor)
        bias.mul_(factor)
        for pace in self._paces:
            pace.step(weight, bias)
        self._averages.update(self._weight, self._bias)

    def judged_logits(self, member: int, features: Tensor) -> Tensor:
        """Logits [N, K] of one head, or of its running mean where it has one, on features [N, D]."""
        weight, bias = self._averages.judged(member, self._weight, self._bias)
        cosine = next(run.cosine for run in self._runs if run.members.start <= member < run.members.stop)
        with torch.no_grad():
            return self._forward(cosine, features, weight[None], bias[None])[0]

    def judged_head(self, member: int) -> Head:
        """The head that is judged, on the CPU."""
        weight, bias = self._averages.judged(member, self._weight, self._bias)
        cut = weight[: self._k * self._d].view(self._k, self._d)
        return Head(weight=cut.cpu().clone(), bias=bias[: self._k].cpu().clone())

    def learning_rate(self, member: int) -> float:
        """That of the step that was last made."""
        return next(p.last_rate for p in self._paces if p.members.start <= member < p.members.stop)

    def _forward(self, cosine: bool, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Logits [A, B, K] of A heads. A product a head: its bits then do not depend on how many there are."""
        n = len(weight)
        weight = weight[:, : self._k * self._d].view(n, self._k, self._d)
        if cosine:
            weight, features = (functional.normalize(one, dim=-1) for one in (weight, features))
            return LDAM_SCALE * torch.bmm(features.expand(n, -1, -1), weight.mT)
        return torch.baddbmm(bias[:, None, : self._k], features.expand(n, -1, -1), weight.mT)

    def _moved(self, members: Sequence[Member], n_steps: int) -> Iterator["_Moved"]:
        for pace, slots in _neighbours([member.pace for member in members]):
            yield _Moved(pace, slots, self._weight, self._bias, n_steps)


def sorting_key(member: Member) -> tuple[object, ...]:
    """Brings together what is computed together."""
    pace = member.pace
    steps = (pace.learning_rate, pace.weight_decay, pace.schedule, pace.warmup_steps)
    return (*steps, member.cosine, member.stream)


class _Moved:
    """The heads of one pace: their optimiser and their schedule, over the stack's own memory."""

    def __init__(self, pace: Pace, members: slice, weight: Tensor, bias: Tensor, n_steps: int) -> None:
        self.members = members
        self.last_rate = 0.0
        self._weight, self._bias = nn.Parameter(weight[members]), nn.Parameter(bias[members])
        # As the Trainer groups them: what is a bias is not decayed.
        groups = [
            {"params": [self._weight], "weight_decay": pace.weight_decay},
            {"params": [self._bias], "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(groups, lr=pace.learning_rate)
        self._schedule = get_scheduler(pace.schedule, self._optimiser, pace.warmup_steps, n_steps)

    def step(self, weight: Tensor, bias: Tensor) -> None:
        """Move by the stack's gradients."""
        self._weight.grad, self._bias.grad = weight[self.members], bias[self.members]
        self.last_rate = float(self._schedule.get_last_lr()[0])
        self._optimiser.step()
        self._schedule.step()


class _Averages:
    """Running means of those heads that have one, by the formula of `dermtune.ema`."""

    def __init__(self, members: Sequence[Member], device: torch.device) -> None:
        owners = [i for i, member in enumerate(members) if member.ema]
        self._place = {owner: place for place, owner in enumerate(owners)}
        self._owners = torch.tensor(owners, dtype=torch.long, device=device)
        self._decay = torch.tensor([members[i].ema for i in owners], dtype=torch.float64, device=device)
        self._means: tuple[Tensor, Tensor] | None = None
        self._n = 0

    def update(self, weight: Tensor, bias: Tensor) -> None:
        """Take in the weights after a step; the mean begins at those after the first."""
        if not self._place:
            return
        now = weight[self._owners], bias[self._owners]
        if self._means is None:
            self._means = now
        else:
            forget = (1 - self._decay.clamp(max=(1 + self._n) / (10 + self._n))).float()[:, None]
            for mean, new in zip(self._means, now, strict=True):
                mean.lerp_(new, forget.expand_as(new))
        self._n += 1

    def judged(self, member: int, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of a head that has one, else its weights."""
        if self._means is None or member not in self._place:
            return weight[member], bias[member]
        place = self._place[member]
        return self._means[0][place], self._means[1][place]


def _padded(rows: Tensor) -> Tensor:
    """Rows [T, n] with zeros behind them up to a multiple of `_LANES`."""
    return functional.pad(rows.float(), (0, -rows.shape[1] % _LANES))


def _neighbours(keys: Sequence[Pace]) -> Iterator[tuple[Pace, slice]]:
    start = 0
    for key, group in itertools.groupby(keys):
        stop = start + len(list(group))
        yield key, slice(start, stop)
        start = stop


def _runs(members: Sequence[Member]) -> Iterator[_Run]:
    start = 0
    for (cosine, stream, _), group in itertools.groupby(members, key=lambda m: (m.cosine, m.stream, m.pace)):
        stop = start + len(list(group))
        yield _Run(slice(start, stop), stream, cosine)
        start = stop
