"""What a classifier that may abstain would do: the records of the three tiers."""

from dataclasses import dataclass

from analysis.findings.held import Held


@dataclass(frozen=True, slots=True, kw_only=True)
class OverSeeds:
    """One number of each run."""

    mean: float
    sd: float | None
    """From run to run; None with one run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """What became of one tier on test."""

    share: OverSeeds
    """Share of all images that are in it."""
    risk: OverSeeds | None
    """Share of its images that are wrong (answer) or whose class is not among the three (top 3), over the runs that
    have any in it; None where none has."""
    n_runs: int
    """Runs that have images in it."""
    n_within: int
    """Of these, runs whose risk stays within the stated one."""

    @property
    def hit_rate(self) -> float | None:
        """Accuracy of what is answered, or how often the class is among the three; None where nothing is."""
        return None if self.risk is None else 1 - self.risk.mean


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTiers:
    """What became of one class's test images, means over seeds."""

    name: str
    n_images: int
    answered: float
    """Share of its images that are answered."""
    error: float | None
    """Share of these that are wrong; None where no run answers any."""
    shown: float
    """Share of its images for which three classes are shown."""
    miss: float | None
    """Share of these whose class is not among the three; None where no run shows any."""

    @property
    def abstained(self) -> float:
        """Share of its images that are neither answered nor shown."""
        return 1 - self.answered - self.shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """One run's thresholds, chosen on val, and where the first puts it on test."""

    seed: int
    answer: float | None
    """Least confidence that is answered; None where no threshold can be trusted."""
    top3: float | None
    """Least confidence below it at which three classes are shown; None where no threshold can be trusted."""
    answered: float
    """Share of the test images that are answered."""
    error: float | None
    """Share of these that are wrong; None where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCurve:
    """Error of the most confident images, at each coverage."""

    coverage: tuple[float, ...]
    """Shares of the test images, ascending."""
    error: tuple[float, ...]
    """Share of wrong among these, mean over seeds."""
    sd: tuple[float, ...]
    """From run to run; nought with one run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTiers:
    """One arm that may abstain."""

    arm: str
    runs: tuple[Frozen, ...]
    """In the order of their seeds."""
    answer: Tier
    top3: Tier
    aurc: OverSeeds
    """Area under the risk-coverage curve: less is better."""
    curve: RiskCurve
    val_accuracy: float
    """Top-1 on the images that thresholds were chosen on, mean over seeds."""
    test_accuracy: float
    classes: tuple[ClassTiers, ...]
    """Classes with test images."""

    @property
    def abstained(self) -> float:
        """Share of the images that are neither answered nor shown."""
        return 1 - self.answer.share.mean - self.top3.share.mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstain:
    """All arms with thresholds of their own, each chosen on val for a stated risk and frozen."""

    answer_risk: float
    """Error rate that an answer may have."""
    top3_risk: float
    """Share of the images with three classes shown whose own may be missing."""
    level: float
    """Confidence that a threshold keeps its risk on images like those of val."""
    n_val_images: int
    n_val_groups: int
    arms: tuple[ArmTiers, ...]
    """The baseline first."""
    answered: tuple[Held, ...] = ()
    """What other arms do to the share that is answered; one family."""
    error: tuple[Held, ...] = ()
    """What they do to the error of what is answered, where every run answers something; one family."""
    aurc: tuple[Held, ...] = ()
    """What they do to the area under the risk-coverage curve; one family."""
