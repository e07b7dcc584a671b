"""The door: `python -m dermtune.sweep FILE` plans a question, runs what is missing of it, and reports."""

import sys
from collections.abc import Sequence
from functools import partial

from rich.console import Console

from analysis.commandline import refuse
from analysis.metrics import MetricError
from analysis.study import SourceError
from dermtune import arguments
from dermtune.arguments import PROG
from dermtune.board import Board
from dermtune.config import UserError
from dermtune.ending import Ending, print_ending
from dermtune.execution import check_model, execute
from dermtune.forecast import print_forecast
from dermtune.progress import shown
from dermtune.reporting import report
from dermtune.shipping import log_model
from dermtune.task import Manifests, Task, prepare
from dermtune.tracking import Exporter


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code; its `--help` says what each means."""
    asked = arguments.parse(argv)
    console = Console()
    try:
        task = prepare(asked, console)
        if not asked.dry_run:
            return _sweep(task, console)
        print_forecast(task.forecast(task.folder.done(task.plan.trials)), console)
    except (UserError, MetricError) as error:
        return refuse(PROG, str(error))
    except SourceError as error:
        return refuse(PROG, f"there is no report: {error}", code=1)
    except KeyboardInterrupt:
        return refuse(PROG, "stopped by SIGINT; the same command goes on from here", code=130)
    return 0


def _sweep(task: Task, console: Console) -> int:
    """Run what is missing and report, alone in the sweep's folder, while MLflow follows."""
    with task.folder.lock():
        done = task.folder.done(task.plan.trials)
        if len(done) < len(task.plan.trials):
            check_model(task.recipe.config, task.classes)
        unused = task.folder.write_plan(task.plan, task.question)
        if unused:
            console.print(f"{unused} done trials of another question or other data stay there, unused.")
        print_forecast(task.forecast(done), console)
        exporter = Exporter(task.asked.tracking_uri, task.plan, task.folder, task.question)
        exporter.start()
        interrupted = True
        try:
            ending = _train(task, done, exporter, console)
            interrupted = ending.signal is not None
            if not interrupted:
                judged = report(task.folder, task.asked.tracking_uri, console)
                exporter.attach((task.folder.report,))
                if task.asked.log_model:
                    log_model(judged, task.plan, task.folder, exporter, console)
        finally:
            exporter.close(interrupted=interrupted)
    return ending.exit_code


def _train(task: Task, done: Manifests, exporter: Exporter, console: Console) -> Ending:
    """Run the trials that are not done, in view."""
    metric = task.plan.sweep.primary_metric
    board = Board(task.plan, {trial_id: m["scores"]["test"].get(metric) for trial_id, m in done.items()})
    missing = [trial for trial in task.plan.trials if trial.trial_id not in done]
    ending = Ending()
    if missing:
        from dermtune import tuner  # Ray takes seconds to import: a sweep that is done does not wait for it

        with shown(board, console) as view:
            ending = tuner.run(
                missing,
                task.folder,
                task.place,
                cpus=task.cpus,
                gpus=task.gpus,
                address=task.asked.address,
                usd_per_hour=task.asked.usd_per_hour,
                budget=task.budget(done),
                monitors=(view, exporter),
                execute=partial(execute, keep_model=task.asked.log_model),
            )
    print_ending(ending, board, console)
    return ending


if __name__ == "__main__":
    sys.exit(main())
