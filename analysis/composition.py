"""Whether the gains of two levers' levels add up, in words made of the same numbers."""

from dataclasses import dataclass
from functools import partial

from analysis.records import Composing
from analysis.verdicts import Evidence, noise_doubts, seeds_to_decide, why_no_seeds
from analysis.words import listed, unit_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two levels, and the deltas of the cells that have one of them or both."""

    names: tuple[str, str]
    both: float
    """Delta of both together."""
    apart: tuple[float, float]
    """Delta of each alone."""
    means_over: str = ""
    """What the deltas are means over; empty where there is one cell of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """What an interaction comes to."""

    label: Composing
    sentence: str
    seeds_needed: int | None


def compose(pair: Pair, evidence: Evidence) -> Composition:
    """Whether both together leave the sum as it is, add to it or take from it; the evidence is the interaction's.

    `compose` asks for the whole interval within the margin either way: a failure to find a difference is none.
    """
    label = _label(evidence)
    needed, meaning = None, _meaning(label, evidence)
    if label == "undecided":
        decides = partial(_decides, evidence)
        needed = seeds_to_decide(evidence, decides)
        way_out = f"at this difference {needed} seeds an arm would decide it"
        meaning += f"; {way_out if needed else why_no_seeds(evidence, decides)}"
    return Composition(label=label, sentence=_sentence(pair, evidence, meaning), seeds_needed=needed)


def _label(evidence: Evidence) -> Composing:
    interval = evidence.interval
    if -evidence.margin < interval.low and interval.high < evidence.margin:
        return "compose"
    if interval.low <= 0 <= interval.high:
        return "undecided"
    return "reinforce" if (interval.low > 0) == evidence.higher_is_better else "cancel"


def _decides(evidence: Evidence, half: float) -> bool:
    size = abs(evidence.delta)
    return size + half < evidence.margin or size - half > 0


def _meaning(label: Composing, evidence: Evidence) -> str:
    side = "above" if evidence.interval.low > 0 else "below"
    match label:
        case "compose":
            margin = unit_of(evidence.metric).size(evidence.margin)
            return f"lies within the margin of {margin} either way: they compose"
        case "reinforce":
            return f"lies {side} 0: together they do better than their sum"
        case "cancel":
            return f"lies {side} 0: together they do worse than their sum"
        case "undecided":
            return "leaves open whether they compose"


def _sentence(pair: Pair, evidence: Evidence, meaning: str) -> str:
    unit = unit_of(evidence.metric)
    one, other = map(unit.delta, pair.apart)
    means = f" (means over {pair.means_over})" if pair.means_over else ""
    ends = unit.interval(evidence.interval.low, evidence.interval.high) + unit.symbol
    deltas = f"{unit.delta(pair.both)}{unit.symbol}, apart {one} and {other}{means}"
    difference = f"the difference, {unit.delta(evidence.delta)}{unit.symbol} ({ends}), {meaning}"
    return "; ".join([f"{listed(pair.names)} together: {deltas}", difference, *noise_doubts(evidence)]) + "."
