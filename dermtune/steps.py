"""What is done before the first trial, as a bar: drawing, hashing and decoding images."""

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from dermtune.data.place import Progress as Callback


@contextlib.contextmanager
def steps(console: Console) -> Iterator[Callback]:
    """The callback that shows each step as a bar with the time left; without a terminal, as one line a step."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("[dim]{task.description}"),
        BarColumn(44, complete_style="cyan"),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(bars)


class _Lines:
    """A line for each step as it begins."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun: set[str] = set()

    def __call__(self, what: str, done: int, total: int) -> None:  # noqa: ARG002 a log needs the size alone
        if what not in self._begun:
            self._begun.add(what)
            self._console.print(f"{what}: {total:,}", highlight=False)


class _Bars:
    """A bar a step, by the step's name."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)
