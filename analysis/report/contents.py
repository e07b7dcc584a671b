"""The parts of a report: their order, whoever made them, and the short names that its contents list them by."""

from collections.abc import Mapping
from typing import Protocol, TypeVar

PARTS: Mapping[str, str] = {
    "verdicts": "Verdicts",
    "repeats": "Repeats",
    "deltas": "Deltas",
    "runs": "Seeds",
    "confirmation": "Confirmation",
    "search": "Search",
    "classes": "Classes",
    "long-tail": "Long tail",
    "effects": "Levers together",
    "after-training": "After training",
    "calibration": "Calibration",
    "abstain": "Abstaining",
    "chance": "Chance",
    "label-noise": "Label noise",
    "labels": "Labels",
    "recommendation": "Recommendation",
    "remarks": "To be known",
    "provenance": "How it was made",
}
"""Short name of each part by its key, in the order in which a reader meets them."""

_OTHERS = "recommendation"
"""What has no place of its own comes before this one."""


class Keyed(Protocol):
    """A part with its anchor."""

    @property
    def key(self) -> str:
        """Its anchor."""
        ...


P = TypeVar("P", bound=Keyed)


def in_order(parts: list[P]) -> list[P]:
    """The parts as a reader meets them; those that share a place stay as they came."""
    return sorted(parts, key=lambda part: _place(part.key))


def short_name(key: str, title: str) -> str:
    """What the contents call the part: its title where it has no shorter name."""
    return PARTS.get(key, title)


def _place(key: str) -> float:
    order = list(PARTS)
    return order.index(key) if key in PARTS else order.index(_OTHERS) - 0.5
