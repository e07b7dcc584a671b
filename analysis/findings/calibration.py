"""Whether a model's confidence can be believed: the records of calibration."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A quantity that was fitted anew in every run."""

    values: tuple[float, ...]
    """One a seed, in the order of the arm's seeds."""
    mean: float
    sd: float | None
    """Standard deviation over seeds; None with one."""
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationErrors:
    """How far confidence and accuracy lie apart, all fractions but the NLL."""

    ece: float
    """Of the predicted class, in 15 bins of equal width."""
    ece_equal_mass: float
    """Of the predicted class, in 15 bins of equal numbers of images."""
    ece_classwise: float
    """Of each class's probability, in 15 bins of equal width, mean over classes."""
    nll: float
    """Mean of minus the natural logarithm of the true class's probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceBin:
    """Images whose confidence lies in one of 15 bins of equal width."""

    low: float
    high: float
    n_images: int
    """Predictions in it, all seeds pooled."""
    confidence: float | None
    """Their mean confidence; None where there is none."""
    accuracy: float | None
    """Share of them that is right; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCalibration:
    """One arm's calibration on the test set as trained and with a temperature, means over seeds."""

    arm: str
    n_seeds: int
    temperature: Spread | None
    """Fitted on each run's `val`; None where there is none."""
    before: CalibrationErrors
    """As trained."""
    after: CalibrationErrors | None
    """Logits over the temperature; None without one."""
    bins_before: tuple[ConfidenceBin, ...]
    bins_after: tuple[ConfidenceBin, ...]
    """Empty without a temperature."""
