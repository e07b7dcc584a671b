"""How numbers and verdicts are said: one wording for the terminal, Markdown and HTML."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from analysis.findings.calibration import Spread
from analysis.records import Comparison, Composing, Estimand, Verdict

SIGNS: dict[Verdict, str] = {"keep": "✓", "reject": "✗", "inconclusive": "?"}
"""A verdict's sign, so that colour never carries a meaning alone."""

COMPOSING: dict[Composing, Verdict] = {
    "compose": "keep",
    "reinforce": "keep",
    "cancel": "reject",
    "undecided": "inconclusive",
}
"""The verdict whose sign and colour an interaction's label has."""

MOST_NAMED = 60
"""Names that a line has."""

_METRICS = {
    "balanced_accuracy": "balanced accuracy",
    "top1": "top-1",
    "top3": "top-3",
    "macro_f1": "macro-F1",
    "ece": "ECE",
    "nll": "NLL",
}

_POPULATIONS: dict[Estimand, str] = {
    "both": "new seeds and new images",
    "seeds": "new seeds on this test set",
    "images": "these checkpoints on new images",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """How a metric's values are printed."""

    factor: float
    """What a stored fraction is multiplied by."""
    symbol: str
    """What follows a difference, with its space; empty where the metric has no unit."""
    decimals: int
    """Decimals in a table; a sentence has one less."""

    @property
    def of_scores(self) -> str:
        """`, percent` behind the name of an axis of scores; empty where the metric has no unit."""
        return self.symbol and ", percent"

    @property
    def of_deltas(self) -> str:
        """`, points` behind that of an axis or a column of differences."""
        return self.symbol and ", points"

    def score(self, value: float) -> str:
        """`66.33` of .6633."""
        return _minus(f"{value * self.factor:.{self.decimals}f}")

    def delta(self, value: float) -> str:
        """`+1.13` of .0113; the sign stays where the digits round to nought, and goes at nought itself."""
        return _signed(value * self.factor, self.decimals)

    def said(self, value: float) -> str:
        """`+1.1 pt` of .0113, as a sentence says it."""
        return _signed(value * self.factor, self.decimals - 1) + self.symbol

    def size(self, value: float) -> str:
        """`0.6 pt` of .006: a margin or a standard deviation."""
        return f"{value * self.factor:.{self.decimals}f}".rstrip("0").rstrip(".") + self.symbol

    def interval(self, low: float, high: float) -> str:
        """`+0.31 to +1.95`."""
        return f"{self.delta(low)} to {self.delta(high)}"


def unit_of(metric: str) -> Unit:
    """Points (hundredths) for every metric that is a fraction; NLL and over-prediction are printed as they are."""
    if metric == "nll":
        return Unit(factor=1.0, symbol="", decimals=4)
    if metric.startswith("over_prediction:"):
        return Unit(factor=1.0, symbol="", decimals=3)
    return Unit(factor=100.0, symbol=" pt", decimals=2)


def metric_title(metric: str) -> str:
    """The metric as a person names it: `balanced accuracy`, `recall of eczema`."""
    kind, _, class_name = metric.partition(":")
    return f"{kind.replace('_', '-')} of {class_name}" if class_name else _METRICS.get(metric, metric)


def higher_is_better(metric: str) -> bool:
    """Whether more of the metric is better: all but the calibration error, the NLL and over-prediction."""
    return metric not in ("ece", "nll") and not metric.startswith("over_prediction:")


def population(estimand: Estimand) -> str:
    """What the intervals speak for."""
    return _POPULATIONS[estimand]


def verdict_words(comparison: Comparison) -> str:
    """`keep, practical`, `inconclusive`: the verdict with its label."""
    return ", ".join(filter(None, (comparison.verdict, comparison.label)))


def hours(value: float) -> str:
    """`12.40 hours`; what is small keeps two digits."""
    return f"{amount(value)} hours"


def usd(value: float) -> str:
    """`$12.40`; what is small keeps two digits."""
    return f"${amount(value)}"


def amount(value: float) -> str:
    """`12.40`, `0.012`, of hours or of dollars."""
    decimals = 1 - math.floor(math.log10(value)) if 0 < value < 0.1 else 2
    return f"{value:,.{decimals}f}"


def correlation(value: float) -> str:
    """`−0.21`."""
    return _minus(f"{value:.2f}")


def fitted_words(fitted: Spread) -> str:
    """`1.05 (0.98 to 1.12)`: the mean of what runs chose, from the lowest to the highest."""
    if fitted.sd is None:
        return f"{fitted.mean:.2f}"
    return f"{fitted.mean:.2f} ({fitted.lowest:.2f} to {fitted.highest:.2f})"


def level_title(lever: str, level: object) -> str:
    """`focal_gamma=2`, as arms are named."""
    return f"{lever}={level_words(level)}"


def level_words(level: object) -> str:
    """A lever's level: `2` of 2.0."""
    return f"{level:g}" if isinstance(level, float) else str(level)


def interval_title(level: float | None) -> str:
    """`95% interval`, or `99.97% interval` at a strict look; `interval` where looks of unlike levels are mixed."""
    return "interval" if level is None else f"{100 * level:.4g}% interval"


def levers_words(levers: Mapping[str, object]) -> str:
    """`focal_gamma 2, label_smoothing 0.0783`: a search's values have more digits than matter; a dash of none."""
    short = {lever: f"{level:.3g}" if isinstance(level, float) else str(level) for lever, level in levers.items()}
    return ", ".join(f"{lever} {level}" for lever, level in short.items()) or "–"


def pvalue(value: float) -> str:
    """Three decimals, or `<0.001`."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def chance_of(probability: float) -> str:
    """`64%` of .64; what is next to impossible or certain is never said to be so: `<1%`, `>99%`."""
    if probability < 0.01:
        return "<1%"
    return ">99%" if probability > 0.99 else f"{100 * probability:.0f}%"


def listed(items: Sequence[str], *, at_most: int = 3) -> str:
    """`a, b and c`; beyond `at_most` the rest is counted."""
    shown = list(items[:at_most])
    if len(items) > at_most:
        shown.append(f"{len(items) - at_most} more")
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def named(names: Sequence[str], between: str = ", ") -> str:
    """`a, b, c`; of very many the first, and how many more: nobody reads ten thousand names in a line."""
    more = len(names) - MOST_NAMED
    return between.join(names if more <= 0 else (*names[:MOST_NAMED], f"and {more:,} more"))


def count(n: int, noun: str) -> str:
    """`1 seed`, `5 seeds`, `1,512 images`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}{'es' if noun.endswith('s') else 's'}"


def seed_counts(n_seeds: Iterable[int]) -> str:
    """`5 seeds an arm`, or `3 to 5 seeds an arm` where arms differ."""
    low, *rest = sorted(set(n_seeds))
    return f"{low} to {rest[-1]} seeds an arm" if rest else f"{count(low, 'seed')} an arm"


def _signed(value: float, decimals: int) -> str:
    return _minus(f"{value:+.{decimals}f}") if value else f"{0:.{decimals}f}"


def _minus(text: str) -> str:
    return text.replace("-", "−")
