"""Figures of a search: its history, what its levers were worth, and what its objectives cost each other."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.findings.selection import FirstStage, Tried
from analysis.report.drawing import ACCENT, INK, RULE, WARM, WIDTH, Figure, empty_plot, rows_plot, svg_of
from analysis.report.searchmarks import (
    DONE,
    RING,
    better,
    draw_baseline,
    draw_points,
    frame,
    key,
    n_beyond,
    score_of,
    whole_points,
)
from analysis.words import count, higher_is_better, metric_title, unit_of

_LEFT = 0.68
"""Inches, for the axis of scores."""


def history(first: FirstStage) -> Figure:
    """The score of every point in the order in which they were tried, and the best so far."""
    metric = metric_title(first.metric)
    plot = empty_plot((WIDTH, 3.5), left=_LEFT, right=0.2, top=0.42, bottom=0.5)
    steps = best_so_far(first)
    last = max(one.number for one in first.tried)
    numbers, scores = [n for n, _ in steps] + [last], [s for _, s in steps] + [steps[-1][1]]
    plot.axes.step(numbers, scores, where="post", color=ACCENT, linewidth=1.4, label="best so far")
    draw_baseline(plot.axes, first)
    draw_points(plot.axes, first, {one.number: float(one.number) for one in first.tried})
    scores_of = {one.number: score_of(one, first) for one in whole_points(first)}
    _number_picks(plot.axes, first, {number: (float(number), score) for number, score in scores_of.items()})
    plot.axes.set_xlim(-0.7, last + 0.7)
    plot.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plot.axes.set_xlabel("point, in the order in which they were tried")
    plot.axes.set_ylabel(f"{metric} on val{unit_of(first.metric).of_scores}")
    frame(plot.axes)
    key(plot.axes)
    alt = f"Scores on val of the points of a search in their order. {_said(first)}"
    return Figure(
        name="search-history",
        title="What did the search find, and when?",
        caption=_history_caption(first),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def best_so_far(first: FirstStage) -> list[tuple[int, float]]:
    """The number and the score of each whole point that was the best when it came, the baseline first."""
    steps: list[tuple[int, float]] = []
    for one in whole_points(first):
        score = score_of(one, first)
        if not steps or better(first) * (score - steps[-1][1]) > 0:
            steps.append((one.number, score))
    return steps


def importances(first: FirstStage) -> Figure | None:
    """Each lever's share in the variance of the score, the largest first; None where that is not known."""
    if not first.importances:
        return None
    shares = sorted(first.importances.items(), key=lambda one: -one[1])
    plot = rows_plot([lever for lever, _ in shares], right=0.9)
    for row, (_, share) in enumerate(shares):
        plot.axes.barh(row, 100 * share, height=0.5, color=ACCENT, zorder=2)
        plot.axes.annotate(
            f"{100 * share:.0f}%", (1.03, row), xycoords=plot.axes.get_yaxis_transform(), va="center",
            annotation_clip=False, fontsize=9, weight="bold", color=INK,
        )  # fmt: skip
    plot.axes.set_xlim(0, 100 * max(share for _, share in shares) or 1)
    plot.axes.axvline(0, color=RULE, linewidth=1, zorder=3)
    metric = metric_title(first.metric)
    plot.axes.set_xlabel(f"share of the explained variance of {metric} on val, percent")
    alt = f"Importances of levers. {'; '.join(f'{lever} {100 * share:.0f}%' for lever, share in shares)}."
    return Figure(
        name="search-importances",
        title="Which levers moved the score?",
        caption=(
            f"Each lever's share in the variance of {metric} on val that levers explain one by one over the "
            f"searched ranges: fANOVA, of a forest of trees fitted to {count(len(whole_points(first)), 'point')} "
            "trained to the end. The shares sum to 100% even where the levers do nothing, for the trees fit "
            "run-to-run noise as well; they are of these ranges, of one training seed, and have no interval. They "
            "say where to look next, not what to keep."
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def fronts(first: FirstStage) -> tuple[Figure, ...]:
    """The metric against each further objective with the Pareto front; none with one objective."""
    return tuple(_front(first, other, place) for place, other in enumerate(first.objectives[1:]))


def pareto(first: FirstStage) -> tuple[Tried, ...]:
    """Whole points that no other one equals or beats in all objectives and beats in one."""
    worth = {one.number: _worth(one, first) for one in whole_points(first)}
    return tuple(
        one for one in whole_points(first) if not any(_beats(other, worth[one.number]) for other in worth.values())
    )


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))


def _worth(one: Tried, first: FirstStage) -> tuple[float, ...]:
    return tuple(one.scores[name] * (1 if higher_is_better(name) else -1) for name in first.objectives)


def _front(first: FirstStage, other: str, place: int) -> Figure:
    whole, front = whole_points(first), pareto(first)
    across, up = metric_title(first.metric), metric_title(other)
    at = {one.number: (score_of(one, first), unit_of(other).factor * one.scores[other]) for one in whole}
    plot = empty_plot((WIDTH, 3.6), left=_LEFT, right=0.3, top=0.42, bottom=0.5)
    axes = plot.axes
    line = sorted(at[one.number] for one in front)
    axes.plot(*zip(*line, strict=True), color=ACCENT, linewidth=1.2, zorder=2, label="front")
    axes.plot(*zip(*at.values(), strict=True), **DONE, zorder=3, label="point")
    if 0 in at:
        axes.plot(*at[0], marker="s", color=WARM, markersize=7, linestyle="", zorder=4, label="baseline")
    picks = [at[pick.number] for pick in first.picks if pick.number in at]
    axes.plot(*zip(*picks, strict=True), **RING, zorder=5, label="pick")
    _number_picks(axes, first, at)
    axes.margins(0.08)
    axes.set_xlabel(f"{across} on val{unit_of(first.metric).of_scores}")
    axes.set_ylabel(f"{up} on val{unit_of(other).of_scores}")
    frame(axes)
    key(axes)
    alt = f"{across} against {up} on val. On the front: {', '.join(one.name for one in front)}."
    return Figure(
        name=f"search-front-{place}",
        title=f"What does {across} cost in {up}?",
        caption=(
            f"The {count(len(whole), 'point')} trained to the end, the baseline among them, on val; rings are "
            f"picks, 1 the best. On the front are the {len(front)} that no other equals or beats in all of "
            f"{', '.join(map(metric_title, first.objectives))}. It is of one training seed and goes through its "
            "luckiest runs, so it lies too far out."
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _history_caption(first: FirstStage) -> str:
    n, beyond = first.n_by_state, n_beyond(first)
    parts = [
        f"Every point's {metric_title(first.metric)} on val with one training seed: dots were trained to the end "
        f"({n['done']}), crosses pruned ({n['pruned']}), at the score that they had then",
        f"{beyond} of these lie beyond the axis, on its edge" if beyond else "",
        f"{n['failed']} failed and {'has' if n['failed'] == 1 else 'have'} no score" if n["failed"] else "",
        f"the line is the best so far, {_baseline_said(first)}, rings are the picks, 1 the best, which the second "
        "stage trains again",
    ]
    return f"{'; '.join(filter(None, parts))}."


def _baseline_said(first: FirstStage) -> str:
    if first.baseline_score is None:
        return f"the baseline (number 0) has no line, for it {'was pruned' if first.tried[0].scores else 'failed'}"
    return f"the broken one the baseline (number 0, {unit_of(first.metric).score(first.baseline_score)})"


def _said(first: FirstStage) -> str:
    decimals = unit_of(first.metric).decimals
    steps = "; ".join(f"point {number} {score:.{decimals}f}" for number, score in best_so_far(first))
    picks = ", ".join(f"{pick.arm} is point {pick.number}" for pick in first.picks)
    return f"The best so far: {steps}. {picks}."


def _number_picks(axes: Axes, first: FirstStage, at: Mapping[int, tuple[float, float]]) -> None:
    """Write each pick's place by its ring: 1 above, the others below, for above them runs the best so far."""
    for place, pick in enumerate(first.picks, start=1):
        if pick.number in at:
            off, va = (7, "bottom") if place == 1 else (-7, "top")
            axes.annotate(
                str(place), at[pick.number], xytext=(0, off), textcoords="offset points", ha="center", va=va,
                color=ACCENT, fontsize=8.5, weight="bold", zorder=6,
            )  # fmt: skip
