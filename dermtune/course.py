"""A sweep's course: alone in its folder, what is missing is run and the whole is judged, while MLflow follows."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from rich.console import Console

from dermtune import firststage
from dermtune.board import Board
from dermtune.config import Config
from dermtune.depot import depot_of, settle
from dermtune.durable import write_text
from dermtune.ending import Ending, print_ending
from dermtune.execution import check_models, execute, execute_together
from dermtune.firstplan import First, candidates, kinds_of_model
from dermtune.firststage import closing
from dermtune.firstwords import print_design, print_stopped
from dermtune.forecast import print_forecast
from dermtune.ledger import upkeep
from dermtune.plan import Trial
from dermtune.progress import shown
from dermtune.reporting import report
from dermtune.resuming import print_damaged, print_doubts, set_aside_damaged
from dermtune.room import Room, room
from dermtune.rounds import in_rounds
from dermtune.shipping import log_model
from dermtune.signals import Signals
from dermtune.spared import spared_in
from dermtune.steps import steps
from dermtune.task import Manifests, Task
from dermtune.timing import TimingError, time_kinds
from dermtune.tracking import Exporter


def run(task: Task, signals: Signals, console: Console) -> Ending:
    """Run what is missing, report, and say how it ended; what stops it early leaves a state to go on from.

    Of a sweep with a first stage, that comes first; where it picks nothing or is to be the end, there is no second.
    """
    _check_models(task)
    with task.folder.lock():
        upkeep.tidy(task.folder)
        set_aside_damaged(task.folder, task.plan, console, first=task.first)
        task = _with_storage(task, console)
        _list_left_out(task, console)
        if task.first is None:
            return _judge(task, signals, console)
        _show_first(task, console)
        if not task.first.selection:
            print_forecast(task.forecast(task.folder.done(task.plan.trials)), console)
        found = firststage.run(task, signals, console)
        if found.picked and task.asked.stop_after_selection:
            print_stopped(task.folder, console)
        elif found.picked:
            _check_models(found.task)
            return _judge(found.task, signals, console)
    return found.ending


def _with_storage(task: Task, console: Console) -> Task:
    """The task with its storage, if it has one, after what lay there is in the sweep's folder."""
    if task.asked.storage is None:
        return task
    say = partial(console.print, soft_wrap=True, markup=False, highlight=False)
    depot = depot_of(task.folder, task.asked.storage, say)
    settle(depot, task.folder, say)
    return replace(task, depot=depot)


def _judge(task: Task, signals: Signals, console: Console) -> Ending:
    """Run what is missing of the trials that are judged, judge them, and say how it ended."""
    done = task.folder.done(task.plan.trials)
    print_doubts(task.folder, done, task.plan, console)
    unused = task.folder.write_plan(task.plan, task.question)
    if unused:
        console.print(f"{unused} done trials of another question or other data stay there, unused.")
    print_forecast(task.forecast(done), console)
    exporter = Exporter(task.asked.tracking_uri, task.plan, task.folder, task.question)
    exporter.start()
    with closing(exporter, signals) as course:
        ending = _train(task, done, signals, exporter, console)
        course.interrupted = ending.signal is not None or ending.halted is not None
        if not course.interrupted:
            judged = report(task.folder, task.asked.tracking_uri, console)
            exporter.attach((task.folder.report,))
            if task.asked.log_model:
                log_model(judged, task.plan, task.folder, exporter, console)
    if course.complete and not course.interrupted:
        firststage.complete(task)  # a server that was away when the first stage ended may be back
    return ending


def _check_models(task: Task) -> None:
    """Raises ModelError or ConfigError where the model of a trial that is not done cannot be trained."""
    first = task.first
    models: dict[str, Config] = {trial.arm: trial.config for trial in task.plan.trials}
    if first is not None and first.selection is None:
        models |= {**_candidates(task, first), **{f"{t.arm}, {first.name}": t.config for t in first.plan.trials}}
    elif len(task.folder.done(task.plan.trials)) == len(task.plan.trials):
        return
    check_models(models, task.classes, task.micro_batch, task.processes)


def _candidates(task: Task, first: First) -> dict[str, Config]:
    """What may be judged, by name: a screening's arms, a search's ends of the space, one of each kind of model."""
    if first.plan.stage == "search" and task.staging is not None:
        return kinds_of_model(task.staging.points().corners)
    return candidates(first)


def _show_first(task: Task, console: Console) -> None:
    """What the first stage is, and who trained what is done of it; nothing once it has ended."""
    first = task.first
    if first is not None and first.selection is None:
        print_doubts(task.folder, task.folder.done(first.plan.trials), first.plan, console)
        print_design(first, console)


def preview(task: Task, console: Console) -> None:
    """Say what `run` would set aside, leave out and train, and at what cost; nothing is started or changed.

    What a trial takes is timed where neither a trial of its kind is done nor an earlier timing is kept. Raises what
    `run` would of models that cannot be trained.
    """
    print_damaged(task.folder, task.plan, console, first=task.first)
    if task.quarantine.images:
        console.print(task.quarantine.said(), soft_wrap=True, markup=False, highlight=False)
    _show_first(task, console)
    done = task.folder.done(task.plan.trials)
    print_doubts(task.folder, done, task.plan, console)
    _time_trials(task, done, console)
    print_forecast(task.forecast(done), console)


def _time_trials(task: Task, done: Manifests, console: Console) -> None:
    """Have every kind of trial that is to run timed and its model built, or built alone where none trains here."""
    unknown, asked = task.untimed(done), task.timing_asked()
    if task.first is not None and task.first.selection is None:
        _check_models(task)
    if not unknown:
        return
    if asked is None:
        models = {trial.arm: trial.config for trial in unknown}
        check_models(models, task.classes, task.micro_batch, task.processes)
        return
    try:
        with steps(console) as progress:
            time_kinds({trial.arm: trial.config for trial in unknown}, asked, progress)
    except TimingError as error:
        said = f"What a trial takes could not be timed: {error}"
        console.print(said, soft_wrap=True, markup=False, highlight=False)


def _room(task: Task) -> Room:
    """What there is on the sweep's disk, and what the trials that are missing now need."""
    done = task.folder.done(task.plan.trials)
    n_spared = len(spared_in(task.folder, task.plan, done))
    return room(task.folder, done, len(task.plan.trials) - len(done) - n_spared)


def _list_left_out(task: Task, console: Console) -> None:
    """Write the list of images that no trial sees, and say so in a line; nothing where every image can be read."""
    if task.quarantine.images:
        write_text(task.folder.quarantine, task.quarantine.table())
        said = task.quarantine.said(os.path.relpath(task.folder.quarantine))
        console.print(said, soft_wrap=True, markup=False, highlight=False)
    else:
        task.folder.quarantine.unlink(missing_ok=True)


def _train(task: Task, done: Manifests, signals: Signals, exporter: Exporter, console: Console) -> Ending:
    """Run the trials that are not done, in view."""
    metric = task.plan.sweep.primary_metric
    scores = {trial_id: manifest["scores"]["test"].get(metric) for trial_id, manifest in done.items()}
    missing = [trial for trial in task.plan.trials if trial.trial_id not in done]
    kept = {trial.trial_id: task.folder.trial(trial.trial_id).epochs_kept() for trial in missing}
    board = Board(task.plan, scores, budget=task.budget(done), epochs_kept=kept)

    def train(trials: Sequence[Trial]) -> Ending:
        from dermtune import tuner  # Ray takes seconds to import: a sweep that is done does not wait for it

        with shown(board, console) as view:
            return tuner.run(
                trials,
                task.folder,
                task.place,
                cpus=task.cpus,
                gpus=task.gpus,
                processes=task.processes,
                address=task.asked.address,
                depot=task.depot,
                minutes_to_wait=task.asked.wait_for_nodes,
                usd_per_hour=task.asked.usd_per_hour,
                budget=board.budget,
                monitors=(view, exporter),
                signals=signals,
                execute=partial(execute, keep_model=task.asked.log_model, micro_batch=task.micro_batch),
                together=partial(execute_together, keep_model=task.asked.log_model),
            )

    if task.plan.sweep.repeats == "adaptive":
        ending = in_rounds(board, task.folder, train, console)
    else:
        ending = train(missing) if missing else Ending()
    if ending.halted is not None:
        ending = replace(ending, halted=f"{ending.halted} ({_room(task)})")
    print_ending(ending, board, console)
    return ending
