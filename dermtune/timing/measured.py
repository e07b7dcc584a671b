"""What a timing trial measured, and what a whole trial takes by it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from dermtune.config import TrainingConfig

VIEWS = 2
"""Val and test are predicted once as they are and once mirrored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """A duration with its spread."""

    typical: float
    """Median."""
    low: float
    """Lower quartile."""
    high: float
    """Upper quartile."""

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.typical <= self.high:
            raise ValueError(f"a duration must lie between its quartiles, all of them at least 0, got {self}")

    def times(self, factor: float) -> "Seconds":
        """So many of them."""
        return Seconds(typical=self.typical * factor, low=self.low * factor, high=self.high * factor)

    def plus(self, more: float) -> "Seconds":
        """With so many seconds that have no spread of their own."""
        return Seconds(typical=self.typical + more, low=self.low + more, high=self.high + more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What the parts of a trial take, in seconds, on one machine."""

    once: float
    """To load torch and open the data, which a worker does for its first trial alone."""
    start: float
    """To build the model and its trainer, and what the first steps take beyond a typical one."""
    step: Seconds
    """One optimiser step, with the batches that it reads."""
    n_steps: int
    """Steps that were timed, after those thrown away."""
    evaluation: float
    """One image of val or test."""
    checkpoint: float
    """To write and seal one."""
    n_train: int
    n_val: int
    n_test: int
    device: str
    """That trained."""
    beside: int = 1
    """Trials that were timed side by side."""

    def __post_init__(self) -> None:
        parts = (self.once, self.start, self.evaluation, self.checkpoint)
        if min(parts) < 0 or min(self.n_steps, self.n_train, self.n_val, self.n_test, self.beside) < 1:
            raise ValueError(f"a timing must have durations of at least 0 and counts of at least 1, got {self}")

    def trial(self, training: TrainingConfig) -> Seconds:
        """What a whole trial takes, `once` left out.

        start + epochs (steps x step + n_val x evaluation + checkpoint) + 2 (n_val + n_test) x evaluation; a last
        batch that is not full counts as the part of a step that it is, unless it is the only one.
        """
        n_steps = training.epochs * max(1.0, self.n_train / (training.batch_size * training.accumulation))
        epochs = training.epochs * (self.n_val * self.evaluation + self.checkpoint)
        predictions = VIEWS * (self.n_val + self.n_test) * self.evaluation
        return self.step.times(n_steps).plus(self.start + epochs + predictions)

    def to_dict(self) -> dict[str, Any]:
        """As a file holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Timing":
        """What `to_dict` gave. Raises ValueError, TypeError or KeyError where it is no such thing."""
        return cls(**{**plain, "step": Seconds(**plain["step"])})


def together(timings: Sequence[Timing]) -> Timing:
    """The timing of trials that ran side by side: of each part the median over them."""
    first = timings[0]
    parts = ("once", "start", "evaluation", "checkpoint")
    step = {name: median(getattr(timing.step, name) for timing in timings) for name in ("typical", "low", "high")}
    return replace(
        first,
        step=Seconds(**step),
        n_steps=sum(timing.n_steps for timing in timings),
        beside=len(timings),
        **{name: median(getattr(timing, name) for timing in timings) for name in parts},
    )
