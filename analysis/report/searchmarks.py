"""How a search's points are drawn wherever they are: their marks, the range of their scores, their key."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from analysis.findings.selection import FirstStage, Tried
from analysis.report.drawing import ACCENT, INK, MUTED, RULE, WARM
from analysis.words import higher_is_better, unit_of

DONE: Mapping[str, Any] = {"marker": "o", "color": INK, "markersize": 4.5, "linestyle": ""}
RING: Mapping[str, Any] = {
    "marker": "o", "color": ACCENT, "markersize": 9.5, "markerfacecolor": "none", "markeredgewidth": 1.5,
    "linestyle": "",
}  # fmt: skip
_PRUNED: Mapping[str, Any] = {"marker": "x", "color": MUTED, "markersize": 4.5, "linestyle": ""}
_OFF: dict[str, Any] = {"marker": 7, "color": MUTED, "markersize": 5, "linestyle": "", "clip_on": False}
"""7 is matplotlib's caret that points down, 6 the one that points up."""
_ROOM = 0.1
"""Of the axis, above the best score and below the worst."""


def score_of(one: Tried, first: FirstStage) -> float:
    """The score as it is printed: points of a fraction."""
    return unit_of(first.metric).factor * one.scores[first.metric]


def whole_points(first: FirstStage) -> list[Tried]:
    """The baseline and the points that were trained to the end."""
    return [one for one in first.tried if one.state == "done"]


def better(first: FirstStage) -> float:
    """1 where more of the metric is better, else -1."""
    return 1.0 if higher_is_better(first.metric) else -1.0


def score_limits(first: FirstStage) -> tuple[float, float]:
    """Ends of the axis of scores, with room beyond what is drawn within it."""
    low, high = _drawn_limits(first)
    room = _ROOM * ((high - low) or abs(high) or 1.0)
    return low - room, high + room


def _drawn_limits(first: FirstStage) -> tuple[float, float]:
    """The scores of all whole points, and of those pruned ones that do not shrink these to a line.

    What was pruned early may lie far off; it may take up no more room than the whole points do.
    """
    whole = [score_of(one, first) for one in whole_points(first)]
    low, high = min(whole), max(whole)
    span = (high - low) or abs(high) or 1.0
    scored = [score_of(one, first) for one in first.tried if one.state != "failed"]
    within = [score for score in scored if low - span <= score <= high + span]
    return min(within), max(within)


def n_beyond(first: FirstStage) -> int:
    """Pruned points that the axis of scores leaves out."""
    low, high = _drawn_limits(first)
    return sum(one.state == "pruned" and not low <= score_of(one, first) <= high for one in first.tried)


def draw_points(axes: Axes, first: FirstStage, at: Mapping[int, float]) -> None:
    """Draw whole points, pruned ones and picks at these places across, by number; what lies beyond, on the edge."""
    low, high = _drawn_limits(first)
    shown = [one for one in first.tried if one.number in at and one.state != "failed"]
    scores = {one.number: score_of(one, first) for one in shown}
    pruned = [one.number for one in shown if one.state == "pruned"]
    beyond = [number for number in pruned if not low <= scores[number] <= high]
    picks = [pick.number for pick in first.picks if pick.number in scores]
    _draw(axes, at, scores, [n for n in pruned if n not in beyond], _PRUNED, "pruned")
    _draw(axes, at, scores, [one.number for one in shown if one.state == "done" and one.number], DONE, "point")
    _draw(axes, at, scores, picks, RING, "pick")
    bottom, top = score_limits(first)
    edge = dict.fromkeys(beyond, bottom if better(first) > 0 else top)
    _draw(axes, at, edge, beyond, _OFF if better(first) > 0 else _OFF | {"marker": 6}, "pruned, off the axis")
    axes.set_ylim(bottom, top)


def draw_baseline(axes: Axes, first: FirstStage) -> None:
    """A line across at the baseline's score, where it has one."""
    if first.baseline_score is not None:
        score = unit_of(first.metric).factor * first.baseline_score
        axes.axhline(score, color=WARM, linewidth=1.1, linestyle=(0, (5, 2)), label="baseline")


def frame(axes: Axes) -> None:
    """Both axes with a line, and quiet lines across."""
    axes.spines["left"].set_visible(True)
    axes.tick_params(axis="y", left=True, color=RULE, labelcolor=MUTED)
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)


def key(axes: Axes, *, columns: int = 6) -> None:
    """What the marks are, each once, above the axes."""
    named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(
        named.values(), named.keys(), loc="lower left", bbox_to_anchor=(0, 1.01), ncols=columns, frameon=False,
        borderaxespad=0, borderpad=0.2, handlelength=1.6, columnspacing=1.3, handletextpad=0.5,
    )  # fmt: skip


def _draw(
    axes: Axes,
    at: Mapping[int, float],
    scores: Mapping[int, float],
    numbers: list[int],
    look: Mapping[str, Any],
    label: str,
) -> None:
    if numbers:
        axes.plot([at[n] for n in numbers], [scores[n] for n in numbers], **look, zorder=3, label=label)
