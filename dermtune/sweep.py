"""The door: `python -m dermtune.sweep FILE` plans a question, runs what is missing of it, and reports."""

import os
import sys
from collections.abc import Sequence

from rich.console import Console

from analysis.comparison import compare
from analysis.metrics import MetricError
from analysis.sources import load_study
from analysis.study import SourceError
from dermtune import arguments
from dermtune.board import Board
from dermtune.config import UserError
from dermtune.ending import Ending, print_ending
from dermtune.execution import check_model
from dermtune.forecast import print_forecast
from dermtune.progress import shown
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
    except (UserError, SourceError, MetricError) as error:
        sys.stderr.write(f"dermtune-sweep: {' '.join(str(error).splitlines())}\n")
        return 2
    return 0


def _sweep(task: Task, console: Console) -> int:
    """Run what is missing and report, alone in the sweep's folder, while MLflow follows."""
    with task.folder.lock():
        unused = task.folder.write_plan(task.plan, task.question)
        if unused:
            console.print(f"{unused} done trials of another question or other data stay there, unused.")
        done = task.folder.done(task.plan.trials)
        print_forecast(task.forecast(done), console)
        exporter = Exporter(task.asked.tracking_uri, task.plan, task.folder, task.question)
        exporter.start()
        interrupted = True
        try:
            ending = _train(task, done, exporter, console)
            interrupted = ending.signal is not None
            if not interrupted:
                _report(task, exporter, console)
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

        check_model(task.recipe.config.model, task.classes)
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
            )
    print_ending(ending, board, console)
    return ending


def _report(task: Task, exporter: Exporter, console: Console) -> None:
    """Judge what is there, print it, and say where it stands."""
    from analysis.report import print_report, write_report  # matplotlib takes a second: a dry run draws nothing

    report = compare(load_study(task.folder.path))
    files = write_report(report, task.folder.report)
    exporter.attach((task.folder.report,))
    print_report(report, console)
    uri = task.asked.tracking_uri
    ui = uri if uri.startswith(("http:", "https:")) else f"mlflow ui --backend-store-uri {uri}"
    console.print(f"report  {os.path.relpath(files.html)}\nMLflow  {ui}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
