"""A sweep as it runs: a live view in a terminal, plain lines in a log."""

import contextlib
from collections.abc import Iterator, Mapping

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from analysis.words import count, metric_title, unit_of
from dermtune.board import ArmSoFar, Board, Running, State
from dermtune.monitors import Monitor
from dermtune.plan import Trial

MARKS: Mapping[State, tuple[str, str]] = {
    "done": ("●", "green"),
    "running": ("◐", "cyan"),
    "failed": ("✗", "red"),
    "waiting": ("·", "dim"),
}
"""A seed's mark and its colour; the shape alone tells them apart."""

MOST_MARKS = 20
"""Beyond so many seeds an arm is counted, not dotted."""

BAR_WIDTH = 44
NAME_WIDTH = 16
"""Left to the arms' names at least: dots give way to a count, the names themselves are cut."""
MEAN_WIDTH = 19
MARGIN, GAP = 2, 3
"""Blank columns beside the view, and between two of its columns."""
FIXED_LINES = 10
"""Lines of the view that are neither an arm nor a running trial."""


@contextlib.contextmanager
def shown(board: Board, console: Console) -> Iterator[Monitor]:
    """The monitor that shows the board while the sweep runs: alive in a terminal, line by line elsewhere."""
    if not console.is_terminal:
        yield _Lines(board, console)
        return
    with Live(View(board), console=console, refresh_per_second=2, transient=True):
        yield board


def duration(seconds: float) -> str:
    """`40 s`, `5 min`, `3 h 05 min`, `2 d 4 h`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // (24 * 60)} d {minutes // 60 % 24} h"


class _Lines(Monitor):
    """One line a trial that ends."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._console = console

    @override
    def started(self, trial: Trial) -> None:
        self._board.started(trial)

    @override
    def epoch(self, trial: Trial, row: Mapping[str, float]) -> None:
        self._board.epoch(trial, row)

    @override
    def noticed(self, trial: Trial, what: str) -> None:
        self._board.noticed(trial, what)
        self._console.print(self._board.notices[-1], markup=False, highlight=False, soft_wrap=True)

    @override
    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:
        self._board.finished(trial, scores)
        metric = self._board.plan.sweep.primary_metric
        score = f"{metric_title(metric)} {unit_of(metric).score(scores[metric])}" if metric in scores else "done"
        self._print(f"{trial.title}: {score}")

    @override
    def failed(self, trial: Trial, reason: str) -> None:
        self._board.failed(trial, reason)
        self._print(f"{trial.title} failed: {reason}")

    def _print(self, what: str) -> None:
        board = self._board
        left = f", {_left(board)}" if board.n_ended < board.n_trials else ""
        line = f"[{board.n_ended}/{board.n_trials}] {what}{left}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class View:
    """The board as it is drawn twice a second: no line wider than the terminal, no more lines than it has."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        board, room = self._board, (options.height or console.height) - FIXED_LINES
        n_running = min(len(board.running), max(1, room // 3))
        width = options.max_width - 2 * MARGIN
        arms, running = _arms(board, room - n_running, width), _running(board, n_running, width)
        yield Padding(Group(_bar(board, width), _counts(board), Text(), arms, *running), (1, MARGIN))


def _bar(board: Board, width: int) -> Table:
    """How much is done and how long the rest takes; the bar has what they leave of `width`."""
    share = Text.assemble((f"{board.n_ended}", "bold"), f" of {count(board.n_trials, 'trial')}")
    left = Text(_left(board), style="cyan")
    begun = sum(running.epochs_done / running.epochs for running in board.running)
    bar = ProgressBar(
        total=board.n_trials,
        completed=board.n_ended + begun,
        width=max(1, min(BAR_WIDTH, width - share.cell_len - left.cell_len - 2 * GAP)),
        style="bright_black",
        complete_style="cyan",
        finished_style="green",
    )
    grid = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
    grid.add_row(bar, share, left)
    return grid


def _counts(board: Board) -> Text:
    parts = [f"{len(board.scores)} done", f"{len(board.running)} running"]
    failed = f"{len(board.reasons)} failed"
    pace = board.trials_per_minute
    speed = [f"{pace:.1f} trials a minute" if pace >= 1 else f"{60 * pace:.1f} trials an hour"] if pace else []
    text = Text(" · ", no_wrap=True, overflow="ellipsis").join(Text(part) for part in [*parts, failed, *speed])
    text.stylize("dim")
    if board.reasons:
        text.highlight_words([failed], style="not dim bold red")
    return text


def _left(board: Board) -> str:
    seconds = board.seconds_left
    return "starting" if seconds is None else f"about {duration(seconds)} left"


def _arms(board: Board, room: int, width: int) -> Table:
    """Each arm's seeds and its mean so far, as many arms as `room` has lines; names are cut to fit `width`."""
    metric = board.plan.sweep.primary_metric
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    arms = board.arms()
    most_marks = min(MOST_MARKS, (width - NAME_WIDTH - MEAN_WIDTH - 2 * GAP + 1) // 2)
    marks = [_seeds(arm, most_marks) for arm in arms]
    seeds_width = max(mark.cell_len for mark in marks)
    table.add_column("arm", no_wrap=True, max_width=width - seeds_width - MEAN_WIDTH - 2 * GAP)
    table.add_column("seeds", no_wrap=True, min_width=seeds_width)
    table.add_column(f"{metric_title(metric)},\ninterim mean", justify="right", no_wrap=True, width=MEAN_WIDTH)
    shown_arms = arms if len(arms) <= room else arms[: max(1, room - 1)]
    for arm, mark in zip(shown_arms, marks, strict=False):
        mean = Text("–", style="dim") if arm.mean is None else Text(unit_of(metric).score(arm.mean))
        table.add_row(arm.arm, mark, mean)
    if len(shown_arms) < len(arms):
        table.add_row(Text(f"and {len(arms) - len(shown_arms)} more", style="dim"))
    return table


def _seeds(arm: ArmSoFar, most_marks: int) -> Text:
    if len(arm.states) > most_marks:
        return Text(f"{arm.states.count('done')} of {len(arm.states)}")
    return Text(" ").join(Text(*MARKS[state]) for state in arm.states)


def _running(board: Board, room: int, width: int) -> list[Text | Table]:
    """The trials that train now, each with its epoch."""
    if not board.running:
        return []
    shown_trials = board.running[:room]
    figures = [_figures(running) for running in shown_trials]
    name_width = width - sum(max(map(len, column)) + GAP for column in zip(*figures, strict=True))
    grid = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
    grid.add_column(no_wrap=True, max_width=name_width)
    for style in ("", "", "dim"):
        grid.add_column(no_wrap=True, style=style)
    for running, row in zip(shown_trials, figures, strict=True):
        grid.add_row(Text.assemble(("◐ ", "cyan"), running.trial.arm), *row)
    more = len(board.running) - room
    return [Text(), grid, *([Text(f"  and {more} more", style="dim")] if more > 0 else [])]


def _figures(running: Running) -> tuple[str, str, str]:
    """Seed, epoch and loss."""
    epoch = f"epoch {running.epochs_done} of {running.epochs}" if running.epochs_done else "first epoch"
    loss = "" if running.loss is None else f"loss {running.loss:.3f}"
    return f"seed {running.trial.seed}", epoch, loss
