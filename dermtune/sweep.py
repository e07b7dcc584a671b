"""The door: `python -m dermtune.sweep FILE` plans a question, runs what is missing of it, and reports."""

import sys
from collections.abc import Sequence

from rich.console import Console

from analysis.commandline import refuse
from analysis.metrics import MetricError
from analysis.study import SourceError
from dermtune import arguments, course
from dermtune.arguments import PROG
from dermtune.config import UserError
from dermtune.forecast import print_forecast
from dermtune.task import prepare


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code; its `--help` says what each means."""
    asked = arguments.parse(argv)
    console = Console()
    try:
        task = prepare(asked, console)
        if not asked.dry_run:
            return course.run(task, console).exit_code
        print_forecast(task.forecast(task.folder.done(task.plan.trials)), console)
    except (UserError, MetricError) as error:
        return refuse(PROG, str(error))
    except SourceError as error:
        return refuse(PROG, f"there is no report: {error}", code=1)
    except KeyboardInterrupt:
        return refuse(PROG, "stopped by SIGINT; the same command goes on from here", code=130)
    return 0


if __name__ == "__main__":
    sys.exit(main())
