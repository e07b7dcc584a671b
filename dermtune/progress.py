"""A sweep as it runs: a live view in a terminal, plain lines in a log."""

import contextlib
import logging
from collections.abc import Iterator, Mapping

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from analysis.words import count, metric_title, unit_of
from dermtune import bill, searchview
from dermtune.board import ArmSoFar, Board, News, Running, State
from dermtune.monitors import Monitor
from dermtune.plan import Trial
from dermtune.searchboard import SearchBoard

MARKS: Mapping[State, tuple[str, str]] = {
    "done": ("●", "green"),
    "running": ("◐", "cyan"),
    "failed": ("✗", "red"),
    "waiting": ("·", "dim"),
    "pruned": ("○", "dim"),
    "spared": (" ", "dim"),
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
FIXED_LINES = 8
"""Lines of the view that are always there: margins, bar, counts, a blank one, the arms' heads, one to spare."""
LOWEST = 12
"""Lines of a terminal that is too low for the costs."""
MOST_NEWS = 4
"""Lines of what went wrong, the latest."""


@contextlib.contextmanager
def shown(board: Board, console: Console) -> Iterator[Monitor]:
    """The monitor that shows the board while the sweep runs: alive in a terminal, line by line elsewhere.

    In a terminal, warnings of the log stand in the view, cut to its width, and are told whole after it.
    """
    if not console.is_terminal:
        yield _Lines(board, console)
        return
    try:
        with _warnings_to(board), Live(View(board), console=console, refresh_per_second=2, transient=True):
            yield board
    finally:
        for news in board.news:
            if not news.failed:  # who failed, and why, is told at the sweep's end
                console.print(_said(news), soft_wrap=True)


class _ToBoard(logging.Handler):
    """Hands warnings to the board."""

    def __init__(self, board: Board) -> None:
        super().__init__(logging.WARNING)
        self._board = board

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self._board.warned(record.getMessage())


@contextlib.contextmanager
def _warnings_to(board: Board) -> Iterator[None]:
    """Warnings of the log go to the board and nowhere else: a line on stderr would tear the view."""
    logger, handler = logging.getLogger("dermtune"), _ToBoard(board)
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


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
        self._console.print(self._board.news[-1].text, markup=False, highlight=False, soft_wrap=True)

    @override
    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:
        self._board.finished(trial, scores)
        metric = self._board.plan.sweep.primary_metric
        score = f"{metric_title(metric)} {unit_of(metric).score(scores[metric])}" if metric in scores else "done"
        self._print(f"{self._board.name_of(trial)}: {score}{self._board.scored_on}")

    @override
    def pruned(self, trial: Trial, row: Mapping[str, float]) -> None:
        self._board.pruned(trial, row)
        self._print(f"{self._board.name_of(trial)}: pruned after {count(round(row['epoch']), 'epoch')}")

    @override
    def failed(self, trial: Trial, reason: str) -> None:
        self._board.failed(trial, reason)
        self._print(f"{trial.title} failed: {reason}")

    def _print(self, what: str) -> None:
        board = self._board
        spent = bill.brief(board.budget) if board.budget else None
        left = _left(board) if board.n_ended < board.n_trials and board.seconds_left is not None else None
        line = ", ".join(filter(None, (f"[{board.n_ended}/{board.n_trials}] {what}", spent, left)))
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class View:
    """The board as it is drawn twice a second: no line wider than the terminal, no more lines than it has."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(1, options.max_width - 2 * MARGIN)
        drawn = Group(*_drawn(self._board, width, options.height or console.height))
        yield Padding(drawn, (1, MARGIN), expand=False)  # a terminal made narrower wraps no blanks


def _drawn(board: Board, width: int, height: int) -> list[RenderableType]:
    """The view from top to bottom. What there is least need of gives way first."""
    spent = [_spent(board)] if board.budget and height > LOWEST else []
    room = height - FIXED_LINES - len(spent)
    news = _news(board, min(MOST_NEWS, room // 6))
    room -= len(news)
    note = [_note(board)] if room >= FIXED_LINES else []
    room -= len(note)
    n_running = min(len(board.running), max(1, room // 3))
    room -= n_running + 2 * bool(n_running)
    arms = _arms(board, room, width)
    running = _running(board, n_running, width)
    return [_bar(board, width), _counts(board), *spent, Text(), arms, *note, *running, *news]


def _bar(board: Board, width: int) -> Table:
    """How much is done and how long the rest takes; the bar has what they leave of `width`."""
    share = Text.assemble((f"{board.n_ended}", "bold"), f" of {count(board.n_trials, board.noun)}")
    left = Text(_left(board), style="cyan")
    bar = ProgressBar(
        total=1.0,
        completed=board.share_ended,
        width=max(1, min(BAR_WIDTH, width - share.cell_len - left.cell_len - 2 * GAP)),
        style="bright_black",
        complete_style="cyan",
        finished_style="green",
    )
    grid = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
    grid.add_row(bar, share, left)
    return grid


def _spent(board: Board) -> Text:
    """What the sweep has cost up to now, what its budget has left, and for which trials that is too little."""
    parts = [bill.standing(board.budget)] if board.budget else []
    if board.n_affordable < (n_waiting := len(board.waiting)):
        parts.append(f"room for {board.n_affordable} of {count(n_waiting, board.noun)} more")
    return Text(", ".join(parts), no_wrap=True, overflow="ellipsis")


def _note(board: Board) -> Text:
    """That the scores above are no result, and when there is one."""
    if isinstance(board, SearchBoard):
        return searchview.note()
    plan = board.plan
    if plan.stage:
        said = "on val, to pick arms by: the best are confirmed with fresh seeds and judged on test"
        return Text(said, style="dim", no_wrap=True, overflow="ellipsis")
    looks = [look for look in plan.sweep.looks if look <= len(plan.seeds)]
    if plan.sweep.repeats == "adaptive":
        return Text("interim: a mean is no verdict, looks decide", style="dim", no_wrap=True, overflow="ellipsis")
    if plan.sweep.looks:
        when = f"the look at {looks[-1] if looks else plan.sweep.looks[0]} seeds"
    else:
        when = "all seeds are there"
    return Text(f"interim: no verdict is drawn before {when}", style="dim", no_wrap=True, overflow="ellipsis")


def _news(board: Board, room: int) -> list[Text]:
    """The latest that went wrong, a line each, cut: the sweep's end tells it whole."""
    texts = [_said(news) for news in board.news[-room:]] if room > 0 else []
    for text in texts:
        text.no_wrap, text.overflow = True, "ellipsis"
    return [Text(), *texts] if texts else []


def _said(news: News) -> Text:
    sign = ("✗ ", "bold red") if news.failed else ("! ", "bold yellow")
    return Text.assemble(sign, news.text)


def _counts(board: Board) -> Text:
    parts = [f"{len(board.scores)} done", f"{len(board.running)} running"]
    parts += [f"{len(board.epochs_pruned)} pruned"] if board.epochs_pruned else []
    failed = f"{len(board.reasons)} failed"
    pace = board.trials_per_minute
    what = f"{board.noun}s"
    speed = [f"{pace:.1f} {what} a minute" if pace >= 1 else f"{60 * pace:.1f} {what} an hour"] if pace else []
    text = Text(" · ", no_wrap=True, overflow="ellipsis").join(Text(part) for part in [*parts, failed, *speed])
    text.stylize("dim")
    if board.reasons:
        text.highlight_words([failed], style="not dim bold red")
    return text


def _left(board: Board) -> str:
    seconds = board.seconds_left
    most = "at most" if board.plan.sweep.repeats == "adaptive" else "about"  # arms may stop before
    return "starting" if seconds is None else f"{most} {duration(seconds)} left"


def _arms(board: Board, room: int, width: int) -> Table:
    """Each arm's seeds and its mean so far, as many arms as `room` has lines; names are cut to fit `width`."""
    if isinstance(board, SearchBoard):
        return searchview.points_table(board, room, width)
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
        table.add_row(arm.arm, mark, Text(arm.stopped, style="green") if arm.stopped else mean)
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
