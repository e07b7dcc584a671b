"""What labels do to the verdicts: a report under corrected ones, and how many wrong ones would turn it."""

from dataclasses import dataclass
from typing import Literal

Judged = Literal["keep", "reject", "inconclusive"]
"""A verdict."""
ErrorModel = Literal["confusions", "uniform"]
"""How wrong labels are thought to come about: as the arms confuse classes, or any class for any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFile:
    """What a file of corrected labels holds."""

    source: str
    """Its name."""
    n_named: int
    """Test images that it names."""
    n_kept: int
    """Test images that it does not name: they keep their label."""
    n_tied: int
    """Images of which several classes share the largest weight."""
    n_unsure: int
    """Images of which no class has more than half of the weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMove:
    """Images whose label changed from one class to another."""

    given: str
    corrected: str
    n_images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized:
    """A class's test images before and after."""

    name: str
    given: int
    corrected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderLabels:
    """One arm against the baseline under one set of labels."""

    delta: float
    ci_low: float
    """Lower end of the interval that holds for all arms at once; the verdict's interval."""
    ci_high: float
    verdict: Judged
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """One arm under the labels as given and under the corrected ones."""

    arm: str
    given: UnderLabels
    corrected: UnderLabels
    sentence: str
    """What moved and why, made from these numbers."""

    @property
    def turned(self) -> bool:
        """Whether the verdict is another one."""
        return self.given.verdict != self.corrected.verdict

    @property
    def changed(self) -> bool:
        """Whether the verdict or its label is another one."""
        return self.turned or self.given.label != self.corrected.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Relabelled:
    """A report under corrected labels beside the one under the labels as given."""

    file: LabelFile
    n_changed: int
    """Test images whose label is another one now."""
    moves: tuple[ClassMove, ...]
    """Where they went, the most frequent first."""
    classes: tuple[Resized, ...]
    """Every class, in the classes' order."""
    arms: tuple[Rejudged, ...]
    """Every arm but the baseline; none where the metric cannot be had under the labels as given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turning:
    """What wrong labels of one kind would do to one arm's verdict."""

    model: ErrorModel
    unchanged: tuple[float, ...]
    """Share of draws in which the verdict stays, a noise rate each."""
    rate: float | None
    """Share of wrong labels at which half of the draws turn it; None where the highest rate does not."""
    into: Judged | None
    """What most draws that turn it make of it, at the first rate where half do or else the highest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmUnderNoise:
    """One arm's verdict under plausible true labels."""

    arm: str
    verdict: Judged
    """Under the labels as they are."""
    turnings: tuple[Turning, ...]
    """One a model of error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelNoise:
    """At which share of wrong test labels verdicts would turn."""

    rates: tuple[float, ...]
    """Shares of wrong labels, ascending."""
    n_draws: int
    """Draws of true labels for each rate and model."""
    by_group: bool
    """Whether images of one group share their error, as they share a diagnosis."""
    arms: tuple[ArmUnderNoise, ...]
    """Every arm but the baseline; none where the metric is not offered."""
    not_offered: str = ""
    """Why the metric cannot be scored on other labels; empty where it can."""
