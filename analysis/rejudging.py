"""A report under corrected labels beside the one under the labels as given: what moved, what turned, and why."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.estimates import Design
from analysis.findings.labels import ClassMove, Rejudged, Relabelled, Resized, UnderLabels
from analysis.records import Comparison, Report
from analysis.study import Corrected
from analysis.words import count, unit_of, verdict_words

_VISIBLE = 0.0005
"""A move of the delta of which it is worth saying which class it comes from."""


def relabelled(report: Report, design: Design, given: Sequence[Comparison]) -> Relabelled | None:
    """The report beside what it would be under the labels as given; None where none was corrected.

    `given` are the comparisons by those labels; none where the metric's class has no image by them.
    """
    corrected, classes = design.study.corrected, design.study.classes
    if corrected is None:
        return None
    sizes = _sizes(corrected, classes)
    before = {c.arm: c for c in given}
    return Relabelled(
        file=corrected.file,
        n_changed=int((corrected.label != corrected.given).sum()),
        moves=_moves(corrected, classes),
        classes=sizes,
        arms=tuple(
            _rejudged(_Pair(given=before[c.arm], corrected=c, classes={size.name: size for size in sizes}))
            for c in report.comparisons
            if c.arm in before
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """One arm's comparison under both sets of labels."""

    given: Comparison
    corrected: Comparison
    classes: Mapping[str, Resized]

    @property
    def moved(self) -> float:
        """What the corrections add to the delta."""
        return self.corrected.delta - self.given.delta


def _moves(corrected: Corrected, classes: tuple[str, ...]) -> tuple[ClassMove, ...]:
    changed = np.flatnonzero(corrected.label != corrected.given)
    pairs = Counter(zip(corrected.given[changed].tolist(), corrected.label[changed].tolist(), strict=True))
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(
        ClassMove(given=classes[given], corrected=classes[label], n_images=n) for (given, label), n in ordered
    )


def _sizes(corrected: Corrected, classes: tuple[str, ...]) -> tuple[Resized, ...]:
    given, now = (np.bincount(label, minlength=len(classes)) for label in (corrected.given, corrected.label))
    return tuple(
        Resized(name=n, given=int(a), corrected=int(b)) for n, a, b in zip(classes, given, now, strict=True)
    )


def _rejudged(pair: _Pair) -> Rejudged:
    return Rejudged(
        arm=pair.corrected.arm,
        given=_under(pair.given),
        corrected=_under(pair.corrected),
        sentence=_sentence(pair),
    )


def _under(comparison: Comparison) -> UnderLabels:
    return UnderLabels(
        delta=comparison.delta,
        ci_low=comparison.ci_low_simultaneous,
        ci_high=comparison.ci_high_simultaneous,
        verdict=comparison.verdict,
        label=comparison.label,
    )


def _sentence(pair: _Pair) -> str:
    before, after = pair.given, pair.corrected
    was, now = verdict_words(before), verdict_words(after)
    verdicts = f"stays {now}" if was == now else f"{now}; by the labels as given {was}"
    return f"{after.arm}: {verdicts}; {'; '.join(filter(None, (_delta(pair), _interval(pair), _rarest(pair))))}."


def _delta(pair: _Pair) -> str:
    unit = unit_of(pair.corrected.metric)
    before, after = unit.said(pair.given.delta), unit.said(pair.corrected.delta)
    if before == after:
        return f"the delta stays {after}"
    return f"the delta moved by {unit.said(pair.moved)}, from {before} to {after}{_by_class(pair)}"


def _by_class(pair: _Pair) -> str:
    """The class that moved a mean over classes most, the way that it went."""
    if pair.corrected.metric != "balanced_accuracy" or abs(pair.moved) < _VISIBLE:
        return ""
    before, after = pair.given.class_deltas, pair.corrected.class_deltas
    added = {name: delta / len(after) - before.get(name, 0.0) / len(before) for name, delta in after.items()}
    name = max(added, key=lambda of_class: added[of_class] * np.sign(pair.moved))
    unit = unit_of(pair.corrected.metric)
    return f", the largest part in {name} ({unit.said(added[name])})"


def _interval(pair: _Pair) -> str:
    unit = unit_of(pair.corrected.metric)
    before, after = (c.ci_high_simultaneous - c.ci_low_simultaneous for c in (pair.given, pair.corrected))
    if unit.size(before) == unit.size(after):
        return f"the interval stays {unit.size(after)} wide"
    how = "narrowed" if after < before else "widened"
    return f"the interval {how} from {unit.size(before)} to {unit.size(after)}{_why(pair, after - before)}"


def _why(pair: _Pair, wider: float) -> str:
    """Which part of the variance went the interval's way, the larger of the two."""
    before, after = pair.given, pair.corrected
    runs = after.v_seed - before.v_seed
    images = max(0.0, after.v_img - after.v_res) - max(0.0, before.v_img - before.v_res)
    larger, what = max((abs(runs), "runs"), (abs(images), "images"))
    if larger == 0 or (runs if what == "runs" else images) * wider <= 0:
        return ""
    return f", for {what} vary {'more' if wider > 0 else 'less'}"


def _rarest(pair: _Pair) -> str:
    """The class of which an image now weighs most otherwise, where a rare class counts as much as a common one."""
    if pair.corrected.metric not in ("balanced_accuracy", "macro_f1"):
        return ""
    there = [size for size in pair.classes.values() if size.given and size.corrected]
    most = max(there, key=lambda size: abs(1 / size.given - 1 / size.corrected), default=None)
    if most is None or most.given == most.corrected:
        return ""
    verb = "gained" if most.corrected > most.given else "lost"
    of = f"has {count(most.corrected, 'image')} in place of {most.given:,}"
    return f"{most.name} {verb} {abs(most.corrected - most.given):,} and {of}"
