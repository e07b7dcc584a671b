"""What a comparison of arms comes to: the records that every report is drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from analysis.findings.abstain import Abstain
from analysis.findings.calibration import ArmCalibration
from analysis.findings.labels import LabelNoise, Relabelled
from analysis.findings.posthoc import TreatedArm
from analysis.findings.selection import Selection
from analysis.findings.tail import Tail
from analysis.looks import ALPHA, Look

Estimand = Literal["both", "seeds", "images"]
Verdict = Literal["keep", "reject", "inconclusive"]
Fate = Literal["open", "decided", "given up"]
"""What a look made of an arm; `open` goes on to the next."""
Composing = Literal["compose", "reinforce", "cancel", "undecided"]
"""Whether two levers' gains add up, come to more than their sum, to less, or one cannot tell."""


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
class Noise:
    """How much the same configuration varies from run to run, on the report's metric."""

    sd: float
    """Standard deviation of one run's score, pooled within arms."""
    df: float
    """Degrees of freedom of `sd`: runs minus arms."""
    ci_low: float
    """Lower end of its 95% interval, from the chi-square distribution."""
    ci_high: float
    alike_p: float | None
    """p of Bartlett's test that arms vary alike; None where there are too few arms to test."""
    unlike: tuple[str, ...]
    """Arms whose deltas vary more from seed to seed than the rest, and rest on their own runs (Welch)."""
    seed_correlation: float | None
    """Correlation of two arms' scores over seeds: what pairing gains from; None where no seed is shared."""
    paired: bool
    """Whether deltas leave out what a seed does to all arms alike; not where arms and seeds are too few for it."""

    @property
    def pooled(self) -> bool:
        """Whether every delta uses one variance of all arms."""
        return not self.unlike


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the variance of a delta comes from, as shares of the whole."""

    seeds: float
    """Runs differ, whatever the image."""
    images: float
    """Images differ, whatever the run."""
    residual: float
    """A run does to an image what neither explains."""


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
    """Degrees of freedom of `se`, Satterthwaite's with the seeds' part guarded; infinite where it is known."""
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
    """Two-sided, of this arm alone."""
    p_adjusted: float
    """Over all arms at once: the joint bootstrap's max-t, stepping down."""
    p_holm: float
    """Holm's over all arms, the check of `p_adjusted`."""
    seed_correlation: float | None
    """Correlation of arm and baseline over the seeds that both have; None below three."""
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
    diverged: int = 0
    """Runs of the arm that diverged: the delta is of the others."""
    look: Look | None = None
    """The look that judged it, where arms stop at looks of their own; None: the report's."""

    @property
    def sources(self) -> Sources | None:
        """Where the variance for new seeds and new images comes from; None where there is none."""
        residual, images = min(self.v_res, self.v_seed), max(0.0, self.v_img - self.v_res)
        total = self.v_seed + images
        if not total:
            return None
        return Sources(seeds=(self.v_seed - residual) / total, images=images / total, residual=residual / total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Two levels of two levers in one arm, against each of them alone; deltas are means as the effect's is."""

    apart: tuple[float, float]
    """Delta of each level alone."""
    both: float
    """Delta of both levels together."""
    label: Composing
    seeds_needed: int | None
    """Seeds an arm, in all, that would decide an undecided label; None if none would, or if decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What levels of one lever or two do against the baseline's, over all settings of the other levers."""

    name: str
    """`focal_gamma=2`, or `focal_gamma=2 × label_smoothing=0.1`."""
    levels: Mapping[str, Any]
    """The level of each lever that it is of: one of a main effect, two of an interaction."""
    references: Mapping[str, Any]
    """The baseline's level of the same levers."""
    n_cells: int
    """Settings of the other levers that it is the mean over: those whose arms are all there."""
    of_cells: int
    """Settings of the other levers that the full grid has."""
    estimate: float
    """Mean delta of a main effect; of an interaction, delta(both) - delta(one) - delta(other)."""
    se: float
    df: float
    ci_low: float
    """Lower end of the interval of this effect alone."""
    ci_high: float
    ci_low_simultaneous: float
    """Lower end of the interval that holds for all main effects, or for all interactions, at once."""
    ci_high_simultaneous: float
    p_value: float
    """Two-sided, of this effect alone."""
    p_adjusted: float
    """Over all main effects, or all interactions: max-t, stepping down."""
    p_holm: float
    """Holm's, the check of `p_adjusted`."""
    sentence: str
    """One sentence, made from this record's own numbers."""
    together: Together | None
    """What two levels come to; None of a main effect."""

    @property
    def kind(self) -> Literal["main", "interaction"]:
        """`main` of one lever's level, `interaction` of two levers'."""
        return "main" if self.together is None else "interaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCourse:
    """What adaptive repeats made of one arm."""

    arm: str
    fate: Fate
    """`decided` or `given up` where it stopped; `open` of the baseline, too, while it goes on."""
    look: int
    """The look that judged it last, 1 for the first."""
    n_seeds: int
    """Seeds that its verdict rests on."""
    spared: int
    """Seeds up to the last look that it need not have, and has not."""
    unused: int
    """Further seeds that are there and enter no verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """Adaptive repeats: at which look each arm stopped."""

    looks: tuple[int, ...]
    """Numbers of seeds at which is looked."""
    reached: int
    """Looks that are behind; 0 before the first."""
    arms: tuple[ArmCourse, ...]
    """The sweep's baseline first."""
    otherwise: bool = False
    """Whether verdicts answer another question than the sweep's own, by which arms stopped."""

    @property
    def spent(self) -> int:
        """Trials that verdicts rest on."""
        return sum(arm.n_seeds for arm in self.arms)

    @property
    def spared(self) -> int:
        """Trials that repeats fixed at the last look's seeds would have paid besides, as far as is certain."""
        return sum(arm.spared for arm in self.arms)

    @property
    def open(self) -> tuple[str, ...]:
        """Arms that no look has stopped, the baseline aside."""
        return tuple(arm.arm for arm in self.arms[1:] if arm.fate == "open")


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
    """Test images; 0 where scores alone are known."""
    n_groups: int
    class_names: tuple[str, ...]
    run_sd: float
    n_resamples: int
    arms: tuple[ArmSummary, ...]
    """The baseline first."""
    comparisons: tuple[Comparison, ...]
    """Every other arm, in the sweep's order; none before the first declared look."""
    look: Look | None
    """Which look at the sweep this is; None where there is only one."""
    noise: Noise | None
    """Run-to-run noise over all arms; None with one seed an arm."""
    effects: tuple[Effect, ...] = ()
    """Main effects, then interactions; empty where levers are not crossed."""
    relabelled: Relabelled | None = None
    """The same under the labels as given; None where none was corrected."""
    label_noise: LabelNoise | None = None
    """At how many wrong labels verdicts turn; None where labels were corrected or nothing is judged."""
    posthoc: tuple[TreatedArm, ...] = ()
    """Arms after treatments that need no training, each against itself; none where there are none."""
    calibration: tuple[ArmCalibration, ...] = ()
    """Calibration of each arm, the baseline first; none where nobody looked."""
    abstain: Abstain | None = None
    """What every arm would do with thresholds on its confidence; None without val."""
    tail: Tail | None = None
    """The long tail; None where nothing is compared, or nobody asked."""
    repeats: Repeats | None = None
    """Where each arm stopped; None where repeats are fixed."""
    selection: Selection | None = None
    """What found the arms and what is left of their gains; None where nothing did, or nobody asked."""
    problems: tuple[str, ...] = ()
    """What is missing or was set right, one line each; nothing is skipped in silence."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Commit, data fingerprint, versions, device, hours, command; what is known of it."""

    @property
    def level(self) -> float:
        """Confidence of the intervals: 95%, or what a declared look leaves."""
        return 1 - (self.look.alpha if self.look and self.look.judges else ALPHA)

    @property
    def verdicts_level(self) -> float | None:
        """Confidence of the intervals that verdicts rest on; None where looks of unlike levels judged them."""
        levels = {self.level_of(comparison) for comparison in self.comparisons} or {self.level}
        return levels.pop() if len(levels) == 1 else None

    def class_deltas_of(self, comparison: Comparison) -> Mapping[str, float]:
        """Delta of each class's recall; where arms stopped at looks of their own, that of the long tail.

        The tail judges all arms at the last look: a class and an arm have one delta in all of the report.
        """
        if self.repeats is None or self.tail is None:
            return comparison.class_deltas
        return {k.name: held.delta for k in self.tail.classes for held in k.recall if held.arm == comparison.arm}

    def level_of(self, comparison: Comparison) -> float:
        """Confidence of one comparison's interval."""
        return 1 - comparison.look.alpha if comparison.look else self.level

    @property
    def noise_sd(self) -> float | None:
        """Run-to-run standard deviation pooled over arms; None with one seed an arm."""
        return self.noise.sd if self.noise else None
