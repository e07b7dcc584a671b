"""What a comparison of arms comes to: the records that every report is drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Estimand = Literal["both", "seeds", "images"]
Verdict = Literal["keep", "reject", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """One class as one arm sees it, means over seeds."""

    name: str
    n_images: int
    """Test images of the class."""
    recall: float
    over_prediction: float
    """Images predicted as the class, over images of the class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSummary:
    """One arm by itself."""

    arm: str
    levers: Mapping[str, Any]
    """Lever values; empty for foreign files."""
    seeds: tuple[int, ...]
    """Seeds that are there, in order."""
    mean: float
    """Mean over seeds of the report's metric."""
    sd: float | None
    """Run-to-run standard deviation of the report's metric; None with one seed."""
    seed_scores: tuple[float, ...]
    """The report's metric of each seed, in the order of `seeds`."""
    scores: Mapping[str, float]
    """Means over seeds of top1, top3, balanced_accuracy, macro_f1, ece and nll."""
    classes: tuple[ClassScore, ...]

    @property
    def n_seeds(self) -> int:
        """Number of seeds that are there."""
        return len(self.seeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardResult:
    """Whether an arm keeps a guard metric from falling by more than its margin."""

    metric: str
    delta: float
    ci_low: float
    ci_high: float
    margin: float
    non_inferior: bool
    """The interval's lower end lies above minus the margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One arm against the baseline on one metric; deltas are fractions, arm minus baseline."""

    arm: str
    baseline: str
    metric: str
    seeds: tuple[int, ...]
    """Seeds that enter the delta."""
    delta: float
    se: float
    """Closed-form standard error for the report's estimand."""
    df: float
    """Satterthwaite degrees of freedom of `se`; infinite where the variance is taken as known."""
    v_seed: float
    """Variance of delta from seeds (the residual once in it)."""
    v_img: float
    """Variance of delta from images (the residual once in it)."""
    v_res: float
    """Variance of delta from the seed x image residual."""
    ci_low: float
    """Lower end of the 95% interval of this comparison alone (corrected bootstrap)."""
    ci_high: float
    ci_low_closed: float
    """The same interval in closed form, the check of the bootstrap."""
    ci_high_closed: float
    ci_low_simultaneous: float
    """Lower end of the interval that holds for all arms at once; the verdict's interval."""
    ci_high_simultaneous: float
    p_value: float
    p_adjusted: float
    """Holm over all arms."""
    probability_better: float
    """P(arm > baseline) for one new seed of each on the estimand's population."""
    misled_rate: float | None
    """Share of the seed pairs whose delta has the other sign than the mean delta; None with one seed."""
    verdict: Verdict
    label: str
    """`practical`, `small`, `worse`, `equivalent`, `at a cost`, or empty."""
    reason: str
    """One sentence, made from this record's own numbers."""
    seeds_needed: int | None
    """Seeds an arm, in all, that would decide an inconclusive delta; None if none would, or if decided."""
    seed_deltas: tuple[float, ...]
    """Delta of each seed, in the order of `seeds`; empty where arms share no seeds."""
    guards: tuple[GuardResult, ...]
    class_deltas: Mapping[str, float]
    """Delta of each class's recall."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a report says; terminal, Markdown, HTML and JSON are four drawings of it."""

    name: str
    """The sweep's name, or the index file's stem."""
    question: str
    """First line of the sweep file; empty for foreign files."""
    metric: str
    margin: float
    estimand: Estimand
    baseline: str
    n_images: int
    n_groups: int
    class_names: tuple[str, ...]
    run_sd: float
    n_resamples: int
    arms: tuple[ArmSummary, ...]
    """The baseline first."""
    comparisons: tuple[Comparison, ...]
    """Every other arm, in the sweep's order."""
    noise_sd: float | None
    """Run-to-run standard deviation pooled over arms; None with one seed an arm."""
    problems: tuple[str, ...] = ()
    """What is missing or was set right, one line each; nothing is skipped in silence."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Commit, data fingerprint, versions, device, hours, command; what is known of it."""
