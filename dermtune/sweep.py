"""The door: `python -m dermtune.sweep FILE` plans a question, runs what is missing of it, and reports."""

import atexit
import gc
import sys
from collections.abc import Sequence

from rich.console import Console

from analysis.commandline import refuse
from analysis.metrics import MetricError
from analysis.study import SourceError
from dermtune import arguments, course
from dermtune.arguments import PROG, Arguments
from dermtune.config import UserError
from dermtune.room import unwritten
from dermtune.signals import Signals, Stopped
from dermtune.task import prepare


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code; its `--help` says what each means."""
    asked, signals = arguments.parse(argv), Signals()
    atexit.register(gc.freeze)  # to collect what Ray and torch leave takes the interpreter seconds, for nothing
    try:
        with signals.heard():
            return _run(asked, signals)
    except (UserError, MetricError) as error:
        return refuse(PROG, str(error))
    except SourceError as error:
        return refuse(PROG, f"there is no report: {error}", code=1)
    except OSError as error:
        return refuse(PROG, f"{unwritten(error)}; the same command goes on from here", code=1)
    except Stopped:
        said = f"stopped by {signals.name}; the same command goes on from here"
        return refuse(PROG, said, code=signals.exit_code)


def _run(asked: Arguments, signals: Signals) -> int:
    console = Console()
    task = prepare(asked, console)
    if not asked.dry_run:
        return course.run(task, signals, console).exit_code
    course.preview(task, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
