"""The door: `python -m dermtune.verify FOLDER` says whether a sweep's folder is what its trials left."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from analysis.commandline import Parser, file_path, refuse
from analysis.words import count
from dermtune.durable import write_json
from dermtune.integrity import SEVERITIES, Finding, Inspection, IntegrityError, Severity, inspect
from dermtune.integrity.inspection import Progress as Callback

PROG = "dermtune-verify"

DESCRIPTION = """\
Check a sweep's folder, such as runs/focal_ls-laptop: that every file of every
trial is the one that was sealed, that its scores are those of its predictions,
and that all trials can be compared. It reads and reports, and changes nothing;
the next start of the sweep sets damaged trials aside and runs them again.
"""

EPILOG = """\
what is found, the worst first:
  damaged      a file is gone, altered, or says what is not so
  unpaired     trials that cannot be compared: other images, labels, data or
               config, beside the levers; arms with other seeds
  mixed        trials of several commits, versions, devices or thread counts:
               they can be compared, with care
  unfinished   failed, diverged, cut off, not begun
  left over    what a killed writer left, trials that nobody asks for any more

examples:
  python -m dermtune.verify runs/focal_ls-laptop
  python -m dermtune.verify runs/focal_ls-laptop --json findings.json
  python -m dermtune.verify runs/focal_ls-laptop --strict && rsync -a runs/ safe:runs/

exit codes: 0 sound, 1 something is damaged or unpaired, with --strict anything
found at all; 2 bad input.
"""

STYLES: dict[Severity, str] = {
    "damaged": "bold red",
    "unpaired": "bold red",
    "mixed": "bold yellow",
    "unfinished": "bold yellow",
    "left over": "bold",
}

FILE_WIDTH = len("trials/0123456789abcdef/manifest.json")


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code; its `--help` says what each means."""
    asked = _parser().parse_args(argv)
    console = Console()
    try:
        with _bar(console) as progress:
            found = inspect(asked.folder, progress)
        if asked.json:
            write_json(asked.json, {**found.to_dict(), "folder": str(asked.folder)})
    except (IntegrityError, OSError) as error:
        return refuse(PROG, str(error))
    print_inspection(found, console)
    return int(bool(found.findings) if asked.strict else not found.is_sound)


def print_inspection(found: Inspection, console: Console) -> None:
    """Print every finding, the worst first, and what it comes to: a table in a terminal, a line each elsewhere."""
    if console.is_terminal:
        for severity in SEVERITIES:
            _print_table(severity, [one for one in found.findings if one.severity == severity], console)
    else:
        for one in found.findings:
            console.print(
                f"{one.severity}: {one.file}: {one.what}; {one.do}", soft_wrap=True, markup=False, highlight=False
            )
    counts = [f"{n} {severity}" for severity, n in found.counts.items() if n]
    done = f"{found.n_done} of {count(found.n_trials, 'trial')} done and whole"
    verdict = ("Sound", "bold green") if found.is_sound else ("Not sound", "bold red")
    console.print(Text.assemble(verdict, f": {'; '.join([done, *counts])}."), soft_wrap=True)


def _print_table(severity: Severity, findings: Sequence[Finding], console: Console) -> None:
    if not findings:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    table.add_column(Text(severity, style=STYLES[severity]), overflow="fold", min_width=FILE_WIDTH)
    table.add_column("", ratio=3)
    table.add_column("", ratio=2, style="dim")
    for finding in findings:
        table.add_row(Text(finding.file), Text(finding.what), Text(finding.do))
    console.print(table, Text())


@contextmanager
def _bar(console: Console) -> Iterator[Callback]:
    """The callback that shows the trials as they are examined; nothing without a terminal."""
    columns = (TextColumn("[dim]examining trials"), BarColumn(44, complete_style="cyan"), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROG, description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="a sweep's folder")
    add("--json", type=file_path, metavar="F", help="write the findings for programs")
    add("--strict", action="store_true", help="code 1 for anything found, unfinished trials and mixed versions too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
