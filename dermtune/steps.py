"""What is done before the first trial, as a bar: drawing, hashing and decoding images."""

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from dermtune.data.place import Progress as Callback


@contextlib.contextmanager
def steps(console: Console) -> Iterator[Callback]:
    """The callback that shows each step as a bar with the time left; without a terminal, as one line a step."""
    columns = (
        TextColumn("[dim]{task.description}"),
        BarColumn(44, complete_style="cyan"),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Steps(bars, console)


class _Steps:
    """A bar a step, by the step's name."""

    def __init__(self, bars: Progress, console: Console) -> None:
        self._bars = bars
        self._console = console
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
            if not self._console.is_terminal:
                self._console.print(f"{what}: {total:,}", highlight=False)
        self._bars.update(self._tasks[what], completed=done, total=total)
