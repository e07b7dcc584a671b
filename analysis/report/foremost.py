"""Which arms are shown one by one where they are too many for that: the best, and the worst."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol, TypeVar

from analysis.records import Report
from analysis.words import count, higher_is_better

MOST = 60
"""Arms that a figure draws, or a table beside the verdicts' own lists: more are no figure, and no picture file."""
AT_A_GLANCE = 24
"""Arms that a terminal lists."""


class OfArm(Protocol):
    """A row that is about an arm."""

    @property
    def arm(self) -> str:
        """Its name."""
        ...


Row = TypeVar("Row", bound=OfArm)


def foremost(report: Report, at_most: int = MOST) -> tuple[str, ...]:
    """Names of the arms to show: all in the report's order or, of more, the baseline, the best and then the worst.

    Beside the baseline three in four of them are the best; the last one is the worst of all.
    """
    names = tuple(arm.arm for arm in report.arms)
    if len(names) <= at_most:
        return names
    sign = 1 if higher_is_better(report.metric) else -1
    gains = {arm.arm: arm.mean for arm in report.arms} | {c.arm: c.delta for c in report.comparisons}
    others = sorted((name for name in names if name != report.baseline), key=lambda name: -sign * gains[name])
    best = _n_best(at_most)
    return (report.baseline, *others[:best], *others[len(others) - (at_most - 1 - best) :])


def shown(rows: Iterable[Row], report: Report, at_most: int = MOST) -> list[Row]:
    """Of the rows, one an arm, those of the arms to show, in their order."""
    by_arm = {row.arm: row for row in rows}
    if len(report.arms) <= at_most:
        return [*by_arm.values()]
    return [by_arm[name] for name in foremost(report, at_most) if name in by_arm]


def narrowed(report: Report, at_most: int = MOST) -> Report:
    """The report of the arms to show alone, for what has a row or a column an arm; itself where they are few."""
    if len(report.arms) <= at_most:
        return report
    return replace(
        report,
        arms=tuple(shown(report.arms, report, at_most)),
        comparisons=tuple(shown(report.comparisons, report, at_most)),
    )


def left_out(report: Report, at_most: int = MOST) -> str:
    """That not all arms are shown, and where they are: a sentence; empty where they are."""
    if len(report.arms) <= at_most:
        return ""
    best = _n_best(at_most)
    of = count(len(report.arms) - 1, "arm")
    return f"Of {of} the {best} best are shown and the {at_most - 1 - best} worst; the JSON report has them all."


def noted(text: str, report: Report, at_most: int = MOST) -> str:
    """The text and, where not all arms are shown, that."""
    return " ".join(filter(None, (text, left_out(report, at_most))))


def _n_best(at_most: int) -> int:
    return at_most - 1 - at_most // 4
