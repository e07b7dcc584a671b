"""The door: `python -m analysis.simulation STUDY` puts the method to worlds whose truth is known."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from analysis.commandline import Parser, refuse
from analysis.simulation.repeats import LOOKS, repeats
from analysis.simulation.scenes import STUDIES, Row
from analysis.simulation.studies import Size
from analysis.wholefile import write_text

PROG = "dermtune-simulation"
REPEATS = "repeats"
SEEDS = (3, 5, 10)
"""Seeds an arm, one after another, where nothing else is asked for."""

DESCRIPTION = """\
Draw sweeps from worlds whose truth is known and judge them as real ones are:
how often an interval holds the truth and how wide it is, how often arms that
do not differ are found to differ, how often a real gain is found.

The tables in docs/statistics.md were made by this command.
"""

EPILOG = """\
studies:
  coverage   one arm: 95% intervals of each method, by what dominates, classes
             and seeds
  pooling    the same of one arm among twelve, whose run-to-run noise is pooled
  family     eleven arms that do not differ: how often any is found to
  unlike     the same where one arm's runs vary three times as much
  power      one arm of eleven gains: how often each method finds it
  repeats    repeats that stop where a look decides, the looks at --seeds
             (default 5 8 12 20), against fixed ones: errors, verdicts, trials

examples:
  python -m analysis.simulation coverage --sets 200
  python -m analysis.simulation family --seeds 3 5 --json family.json

exit codes: 0 done, 2 bad input.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code; its `--help` says what each means."""
    asked = _parser().parse_args(argv)
    size = Size(n_sets=asked.sets, n_resamples=asked.resamples, rng_seed=asked.seed)
    if asked.json and not asked.json.parent.is_dir():
        return refuse(PROG, f"--json must name a file in a folder that is there, got {asked.json}")
    cells = _cells(asked.study, asked.seeds)
    console = Console()
    rows = [row for of_cell in _worked(cells, size, asked.jobs, Console(stderr=True)) for row in of_cell]
    console.print(_table(asked.study, rows, size))
    if asked.json:
        write_text(asked.json, json.dumps(_document(asked.study, rows, size), indent=1) + "\n")
    return 0


class Cell(Protocol):
    """What is drawn of one world, and what is asked of it."""

    def rows(self, size: Size) -> list[Row]:
        """The figures."""
        ...


def _cells(study: str, seeds: Sequence[int] | None) -> Sequence[Cell]:
    """The study's cells, at these numbers of seeds or at its own."""
    if study == REPEATS:
        return repeats(tuple(seeds or LOOKS))
    return STUDIES[study](tuple(seeds or SEEDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One cell with the size it is done at; a process takes it as a whole."""

    size: Size

    def __call__(self, cell: Cell) -> list[Row]:
        return cell.rows(self.size)


def _worked(cells: Sequence[Cell], size: Size, jobs: int, console: Console) -> Iterator[list[Row]]:
    """Each cell's rows, in order, behind a bar with the time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("cells", total=len(cells))
        with ProcessPoolExecutor(jobs) as pool:
            for rows in pool.map(_Work(size=size), cells):
                progress.advance(bar)
                yield rows


def _table(study: str, rows: Sequence[Row], size: Size) -> Table:
    table = Table(
        title=f"{study}: {size.n_sets:,} sets a cell, {size.n_resamples:,} resamples",
        title_justify="left",
        box=None,
    )
    for heading in ("world", "rarest class", "seeds", "method", "share", "+-"):
        table.add_column(heading, justify="left" if heading in ("world", "method") else "right")
    if any(row.width is not None for row in rows):
        table.add_column("width, pt", justify="right")
    last = None
    for row in rows:
        here = (row.world, "" if row.rarest is None else str(row.rarest), str(row.n_seeds))
        cells = [*(("", "", "") if here == last else here), row.method, f"{row.share:.3f}", f"{row.error:.3f}"]
        table.add_row(*cells, *([f"{100 * row.width:.2f}"] if row.width is not None else []))
        last = here
    return table


def _document(study: str, rows: Sequence[Row], size: Size) -> dict[str, Any]:
    return {"format": 1, "study": study, **asdict(size), "rows": [asdict(row) for row in rows]}


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROG, description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    studies = (*STUDIES, REPEATS)
    add("study", choices=studies, metavar="STUDY", help=", ".join(studies))
    add("--sets", type=_at_least(10), default=2000, metavar="N", help="sweeps drawn for each cell; default 2000")
    add("--resamples", type=_at_least(100), default=2000, metavar="N", help="replicates of each; default 2000")
    add(
        "--seeds", type=_at_least(2), nargs="+", metavar="N",
        help="seeds an arm; default 3 5 10, of repeats the looks, 5 8 12 20",
    )  # fmt: skip
    add("--seed", type=_at_least(0), default=0, metavar="N", help="seed of all draws; default 0")
    add("--jobs", type=_at_least(1), default=1, metavar="N", help="processes side by side; default 1")
    add("--json", type=Path, metavar="F", help="write the table for programs")
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text!r}")
        return int(text)

    return whole


if __name__ == "__main__":
    sys.exit(main())
