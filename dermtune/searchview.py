"""A search as it runs: the best of its points so far, with their levers."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from analysis.words import metric_title, unit_of
from dermtune.searchboard import PointSoFar, SearchBoard, short

GAP = 2
"""Blank columns between two of the table's."""
SCORE_WIDTH = 18
MOST_POINTS = 10
"""Points that are shown at most: the rest is for the report."""
NOTE = "interim: on val, with one seed, so the best are the luckiest too; fresh seeds on test will tell"


def points_table(board: SearchBoard, room: int, width: int) -> Table:
    """The best points so far and the baseline, in `room` lines; levers without room in `width` are left out."""
    metric = board.plan.sweep.primary_metric
    shown = _shown(board.ranked, min(MOST_POINTS, room - 1))
    levers = _fitting(board, shown, width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    table.add_column("best so far", no_wrap=True, vertical="bottom")
    for lever in levers:
        table.add_column(_heading(lever), justify="right", no_wrap=True)
    table.add_column(f"{metric_title(metric)},\non val, interim", justify="right", no_wrap=True, width=SCORE_WIDTH)
    for point in shown:
        style = "dim" if point.is_baseline else ""
        cells = [Text(short(point.levers[lever]), style=style) for lever in levers]
        table.add_row(Text(point.name, style=style), *cells, Text(unit_of(metric).score(point.score), style=style))
    if not shown:
        table.add_row(Text("–", style="dim"), *[Text("–", style="dim")] * (1 + len(levers)))
    return table


def note() -> Text:
    """That the best of many are not what they seem."""
    return Text(NOTE, style="dim", no_wrap=True, overflow="ellipsis")


def _shown(ranked: Sequence[PointSoFar], room: int) -> list[PointSoFar]:
    """The first, and the baseline in any case."""
    best = list(ranked[: max(1, room)])
    baseline = [point for point in ranked if point.is_baseline and point not in best]
    return [*best[: len(best) - len(baseline)], *baseline] if len(best) > 1 else best


def _fitting(board: SearchBoard, shown: Sequence[PointSoFar], width: int) -> list[str]:
    """The levers, as many as there is room for."""
    left = width - SCORE_WIDTH - max(len("best so far"), *(len(point.name) for point in shown), 0) - 2 * GAP
    fitting = []
    for lever in board.plan.trials[0].levers:
        left -= GAP + max(map(len, [*_heading(lever).split("\n"), *(short(p.levers[lever]) for p in shown)]))
        if left < 0:
            break
        fitting.append(lever)
    return fitting


def _heading(lever: str) -> str:
    """The lever's name in two lines."""
    first, _, rest = lever.partition("_")
    return f"{first}\n{rest.replace('_', ' ')}" if rest else f"\n{first}"
