"""A sweep's course: alone in its folder, what is missing is run and the whole is judged, while MLflow follows."""

from functools import partial

from rich.console import Console

from dermtune.board import Board
from dermtune.ending import Ending, print_ending
from dermtune.execution import check_model, execute
from dermtune.forecast import print_forecast
from dermtune.progress import shown
from dermtune.reporting import report
from dermtune.shipping import log_model
from dermtune.task import Manifests, Task
from dermtune.tracking import Exporter


def run(task: Task, console: Console) -> Ending:
    """Run what is missing, report, and say how it ended; what stops it early leaves a state to go on from."""
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
    return ending


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
