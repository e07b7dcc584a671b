"""Two figures of the long tail: the mean recall of many, medium and few, and what flows into the sink."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.findings.held import Held
from analysis.findings.tail import Sink, SinkArm, Tail
from analysis.report.drawing import (
    ACCENT,
    INK,
    MARGIN_BAND,
    MUTED,
    PAPER,
    RULE,
    WARM,
    Figure,
    beside_row,
    rows_plot,
    svg_of,
)
from analysis.words import count, unit_of

_POINTS = unit_of("recall")
_OFFSETS = (-0.22, 0.0, 0.22)
"""Where the three groups stand in an arm's row."""
_MARKERS = ("o", "s", "^")
_SOURCES: tuple[dict[str, Any], ...] = (
    {"facecolor": ACCENT, "edgecolor": ACCENT},
    {"facecolor": PAPER, "edgecolor": ACCENT, "hatch": "////"},
    {"facecolor": MARGIN_BAND, "edgecolor": ACCENT},
)
"""Full, hatched and pale: the largest source, the next, all others."""
_LONG = 44
"""Characters of a legend that one line holds."""
_THICK = 0.5
"""Height of a bar, rows."""


def groups_figure(tail: Tail) -> Figure | None:
    """The change of each group's mean recall, a row an arm; None where classes are too few for groups."""
    if not tail.groups:
        return None
    arms = [delta.arm for delta in tail.groups[0].deltas]
    plot = rows_plot(["", *arms], right=0.3)
    plot.axes.axvline(0, color=RULE, linewidth=1, zorder=1)
    for group, offset, marker in zip(tail.groups, _OFFSETS, _MARKERS, strict=True):
        for row, delta in enumerate(group.deltas, start=1):
            _dot(plot.axes, row + offset, delta, marker)
    _group_key(plot.axes)
    plot.axes.set_xlabel("mean recall, arm minus baseline, points")
    sizes = "; ".join(
        f"{group.name}, {count(len(group.classes), 'class')} of {group.smallest:,} to {group.largest:,} test images"
        for group in tail.groups
    )
    alt = f"Change of the mean recall in points. {'; '.join(_group_said(tail, row) for row in range(len(arms)))}."
    return Figure(
        name="many-medium-few",
        title="Who gains: many, medium or few?",
        caption=(
            f"Thirds of the classes: {sizes}. Lines are intervals that hold for all of the figure at once; a full "
            "mark says that the interval excludes 0, blue for a gain and orange for a loss."
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _dot(axes: Axes, y: float, delta: Held, marker: str) -> None:
    colour = (ACCENT if delta.delta > 0 else WARM) if delta.real else MUTED
    ends = [_POINTS.factor * end for end in (delta.ci_low_simultaneous, delta.ci_high_simultaneous)]
    axes.plot(ends, (y, y), color=colour, linewidth=1.3, zorder=3)
    face = colour if delta.real else PAPER
    axes.plot(_POINTS.factor * delta.delta, y, marker, color=colour, markersize=6, markerfacecolor=face, zorder=4)


def _group_key(axes: Axes) -> None:
    """What the marks are, in the row above the first arm."""
    names = ("many", "medium", "few")
    handles = [
        Line2D([], [], color=INK, marker=marker, markerfacecolor=PAPER, linestyle="", label=name)
        for marker, name in zip(_MARKERS, names, strict=True)
    ]
    _key(axes, handles)


def _key(axes: Axes, handles: Sequence[Any]) -> None:
    """The legend in one line, or with long names in a column."""
    long = sum(len(handle.get_label()) for handle in handles) > _LONG
    axes.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(0, 0),
        bbox_transform=axes.get_yaxis_transform(),
        ncols=1 if long else len(handles),
        labelspacing=0.2,
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        handlelength=1.4,
        columnspacing=1.4,
    )


def _group_said(tail: Tail, row: int) -> str:
    deltas = ", ".join(f"{group.name} {_said(group.deltas[row])}" for group in tail.groups)
    return f"{tail.groups[0].deltas[row].arm}: {deltas}"


def _said(delta: Held) -> str:
    ends = _POINTS.interval(delta.ci_low_simultaneous, delta.ci_high_simultaneous)
    return f"{_POINTS.delta(delta.delta)} ({ends})"


def sink_figure(sink: Sink) -> Figure | None:
    """What flows into the sink, a bar an arm; None where no class is one."""
    if not sink.real:
        return None
    flows = [_flows(arm) for arm in sink.arms]
    plot = rows_plot(["", *(arm.arm for arm in sink.arms)], right=2.0)
    plot.axes.set_xlim(0, 1.03 * max(map(sum, flows)))
    labels = [*(flow.name for flow in sink.arms[0].inflows[:2]), "all others"][: len(flows[0])]
    _key(
        plot.axes,
        [Patch(label=name, linewidth=0.8, **look) for name, look in zip(labels, _SOURCES, strict=False)],
    )
    for row, (arm, of_arm) in enumerate(zip(sink.arms, flows, strict=True), start=1):
        _bar(plot.axes, row, of_arm)
        beside_row(plot.axes, row, f"{100 * arm.share:.1f}% of errors", _change(arm))
    plot.axes.set_xlabel(f"images of other classes called {sink.name}, in one run")
    alt = f"Images of other classes called {sink.name}. {'; '.join(_flow_said(arm) for arm in sink.arms)}."
    return Figure(
        name="sink",
        title=f"What flows into {sink.name}?",
        caption=(
            f"Images of other classes that are called {sink.name}, mean over seeds, by the class that they are of. "
            "At the right their share of all errors and its change against the baseline in points, with an "
            "interval that holds for every class and arm at once; ▲ and ▼ mark those that exclude 0."
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _flows(arm: SinkArm) -> list[float]:
    """Images from the two largest sources and from all others together, the baseline's order."""
    images = [flow.images for flow in arm.inflows]
    return [*images[:2], sum(images[2:])] if len(images) > 2 else images


def _bar(axes: Axes, row: int, flows: Sequence[float]) -> None:
    start = 0.0
    for images, look in zip(flows, _SOURCES, strict=False):
        axes.barh(row, images, left=start, height=_THICK, linewidth=0.8, **look)
        start += images


def _change(arm: SinkArm) -> str:
    delta = arm.share_delta
    if delta is None:
        return "baseline"
    mark = (" ▲" if delta.delta > 0 else " ▼") if delta.real else ""
    low, high = (
        _POINTS.said(end).removesuffix(_POINTS.symbol)
        for end in (delta.ci_low_simultaneous, delta.ci_high_simultaneous)
    )
    return f"{_POINTS.said(delta.delta).removesuffix(_POINTS.symbol)} ({low} to {high}){mark}"


def _flow_said(arm: SinkArm) -> str:
    sources = ", ".join(f"{flow.name} {flow.images:.1f}" for flow in arm.inflows[:3])
    return f"{arm.arm} {100 * arm.share:.1f}% of errors ({sources})"
