"""What treatments after training do to the checkpoints that are there: the records."""

from dataclasses import dataclass
from typing import Literal

from analysis.findings.calibration import Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One metric of the same checkpoints without and with a treatment."""

    metric: str
    before: float
    """Mean over seeds as trained."""
    after: float
    """Mean over seeds, treated."""
    delta: float
    ci_low: float
    """Lower end of the interval of this delta alone."""
    ci_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TreatedArm:
    """One arm after one treatment against the same checkpoints without it."""

    name: str
    """`baseline+hflip`."""
    arm: str
    treatment: str
    """`hflip`, `temperature`, `logit_adjustment`, `focal_inverse`, or two of them."""
    seeds: tuple[int, ...]
    primary: Change
    """The report's metric."""
    seed_deltas: tuple[float, ...]
    """Its delta of each seed, in the order of `seeds`."""
    se: float
    """Closed-form standard error of its delta."""
    ci_low_simultaneous: float
    """Lower end of the interval that holds for all treated arms at once; the verdict's interval."""
    ci_high_simultaneous: float
    p_adjusted: float
    """Over all treated arms at once."""
    own_noise: bool
    """Whether its delta varies more from seed to seed than other arms' does, and rests on its own runs."""
    verdict: Literal["keep", "reject", "inconclusive"] | None
    """None where the treatment changes nothing that the metric sees."""
    label: str
    reason: str
    """One sentence, made from this record's own numbers."""
    guards: tuple[Change, ...]
    """The guard metrics."""
    top3: Change
    ece: Change
    nll_before: float
    nll_after: float
    fitted: Spread | None
    """Temperature or tau, chosen on each run's `val`; None where nothing is."""
    forward_passes: int
    """Passes through the network an image when it serves: two where the mirrored image is asked as well."""
