"""A delta with an interval that holds for its whole family: the record that several findings share."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How far an arm moves one quantity from the baseline, with an interval that holds for its whole family."""

    arm: str
    delta: float
    """Arm minus baseline."""
    ci_low: float
    """Lower end of the interval of this delta alone."""
    ci_high: float
    ci_low_simultaneous: float
    """Lower end of the interval that holds for the whole family at once."""
    ci_high_simultaneous: float

    @property
    def real(self) -> bool:
        """Whether the family's interval excludes nought; one without width says that nothing is known."""
        low, high = self.ci_low_simultaneous, self.ci_high_simultaneous
        return low < high and not low <= 0 <= high
