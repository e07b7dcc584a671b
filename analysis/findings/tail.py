"""What became of the classes: the records of the long tail."""

from dataclasses import dataclass

from analysis.findings.held import Held


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMoves:
    """What every arm does to one class; an entry an arm, in the report's order."""

    name: str
    n_images: int
    """Test images of the class."""
    recall: tuple[Held, ...]
    """One family with the recalls of all other classes."""
    over_prediction: tuple[Held, ...]
    """One family with the over-predictions of all other classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassGroup:
    """A third of the classes by size, and what every arm does to its mean recall."""

    name: str
    """`many`, `medium` or `few`."""
    classes: tuple[str, ...]
    """The most test images first."""
    largest: int
    """Test images of its largest class."""
    smallest: int
    """Test images of its smallest class."""
    recall: float
    """The baseline's mean recall over its classes."""
    deltas: tuple[Held, ...]
    """One family with the other groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """The confusion that an arm changes most: images of one class that are called another."""

    arm: str
    true: str
    predicted: str
    before: float
    """Share of the true class's images that the baseline calls so, mean over seeds."""
    after: float
    """The arm's."""
    images: float
    """How many more images a run calls so, mean over seeds."""
    delta: Held
    """`after` minus `before`; the family is every pair of classes in every arm (Bonferroni)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflow:
    """Images of one class that are called the sink."""

    name: str
    images: float
    """In one run, mean over seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkArm:
    """The sink as one arm has it, means over seeds."""

    arm: str
    share: float
    """Images of other classes that are called the sink, over all errors."""
    over_prediction: float
    """Images called the sink, over images of it."""
    net_inflow: float
    """Images of other classes called the sink, minus its own called others."""
    inflows: tuple[Inflow, ...]
    """Where they come from, the baseline's largest first; every other class that has images."""
    share_delta: Held | None
    """The family is every class in every arm (Bonferroni); None of the baseline."""
    over_prediction_delta: Held | None
    """One family with those of all classes; None of the baseline."""
    net_inflow_delta: Held | None
    """The same interval in images; None of the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """The class with the largest net inflow in the baseline."""

    name: str
    n_images: int
    """Test images of it."""
    ci_low: float
    """Lower end of the interval of its over-prediction in the baseline, held for all classes (Bonferroni)."""
    ci_high: float
    net_share: float
    """The baseline's net inflow over all its errors."""
    arms: tuple[SinkArm, ...]
    """The baseline first."""

    @property
    def real(self) -> bool:
        """Whether it is said more often than it occurs, beyond chance."""
        return 1 < self.ci_low < self.ci_high


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The long tail: what every arm does to classes, groups of classes, confusions and the sink."""

    classes: tuple[ClassMoves, ...]
    """The most test images first."""
    groups: tuple[ClassGroup, ...]
    """Many, medium, few; empty with fewer than three classes."""
    confusions: tuple[Confusion, ...]
    """One an arm; an arm that confuses as the baseline does has none."""
    n_confusions: int
    """Pairs of classes times arms: what the confusions' intervals hold for."""
    sink: Sink
