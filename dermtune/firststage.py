"""A sweep's first stage: what is missing of it is run, in view, and of what it tried the best on val are picked."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rich.console import Console
from typing_extensions import override

from dermtune.board import Board
from dermtune.ending import Ending, print_ending
from dermtune.execution import execute, execute_together
from dermtune.firstfile import write_first
from dermtune.firstplan import First, question_of
from dermtune.firstwords import print_anew, print_failures, print_none, print_selection
from dermtune.ledger import SweepFolder
from dermtune.monitors import Monitor
from dermtune.onval import val_score
from dermtune.picking import objectives, pick
from dermtune.plan import Trial
from dermtune.progress import shown
from dermtune.screening import screened
from dermtune.searchboard import SearchBoard
from dermtune.selection import Selection, Tried
from dermtune.signals import Signals
from dermtune.staging import Staging
from dermtune.task import Manifests, Task
from dermtune.tracking import Exporter


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How the first stage ended."""

    task: Task
    """With the picks as its arms, where there are any."""
    ending: Ending
    """What failed is none of it where there are picks: it is passed over."""

    @property
    def picked(self) -> bool:
        """Whether the second stage has arms."""
        return self.task.first is not None and self.task.first.selection is not None


def run(task: Task, signals: Signals, console: Console) -> Found:
    """Go on with the first stage to its end, if it is not there yet, and pick; MLflow follows."""
    first, staging = task.first, task.staging
    if first is None or staging is None:
        return Found(task=task, ending=Ending())
    write_first(task.folder, first.plan, question_of(first.sweep, first.plan), task.question)
    if first.selection is not None:  # it may have been another question's stage that was begun last
        return Found(task=task, ending=Ending())
    print_anew(task.folder, first, console)
    exporter = exporter_of(task, first)
    exporter.start()
    with closing(exporter, signals) as said:
        ending = _train(task, first, signals, exporter, console)
        said.interrupted = ending.signal is not None or ending.halted is not None
        if said.interrupted or ending.out_of_budget:
            return Found(task=task, ending=ending)
        selection = _select(staging, first, task.folder)
        print_failures(task.folder, selection, console)
        if not selection.picks:
            print_none(selection, console)
            return Found(task=task, ending=Ending(failed=max(1, ending.failed)))
        selection.write(task.folder.selection)
        exporter.attach((task.folder.selection,))
    print_selection(selection, first, console)
    return Found(task=task.with_first(staging.found(task.folder)), ending=replace(ending, failed=0))


def exporter_of(task: Task, first: First) -> Exporter:
    """What shows the first stage in MLflow, below a run of its own."""
    return Exporter(task.asked.tracking_uri, first.plan, task.folder, task.question)


@dataclass(slots=True, kw_only=True)
class Said:
    """What a block says of itself before it ends."""

    interrupted: bool = True
    """It was stopped, or left by an error."""
    complete: bool = False
    """After it: MLflow has all."""


@contextlib.contextmanager
def closing(exporter: Exporter, signals: Signals) -> Iterator[Said]:
    """A block at whose end MLflow gets what is left; where a second Ctrl-C came that is left to the next start."""
    said = Said()
    try:
        yield said
    finally:
        if signals.hurried:
            exporter.abandon()
        else:
            said.complete = exporter.close(interrupted=said.interrupted)


def complete(task: Task) -> None:
    """Send MLflow what it lacks of a first stage that has ended, as far as it answers."""
    if task.first is not None:
        exporter = exporter_of(task, task.first)
        exporter.attach((task.folder.selection,))
        exporter.finish("FINISHED")


class OnVal(Monitor):
    """Tells another monitor what finished trials scored on val: nobody is to look at test while arms are picked."""

    def __init__(self, monitor: Monitor, folder: SweepFolder, metric: str) -> None:
        self._monitor, self._folder, self._metric = monitor, folder, metric

    @override
    def started(self, trial: Trial) -> None:
        self._monitor.started(trial)

    @override
    def epoch(self, trial: Trial, row: Mapping[str, float]) -> None:
        self._monitor.epoch(trial, row)

    @override
    def noticed(self, trial: Trial, what: str) -> None:
        self._monitor.noticed(trial, what)

    @override
    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:
        score = val_score(self._folder.trial(trial.trial_id), self._metric)
        self._monitor.finished(trial, {self._metric: score})

    @override
    def pruned(self, trial: Trial, row: Mapping[str, float]) -> None:
        self._monitor.pruned(trial, row)

    @override
    def failed(self, trial: Trial, reason: str) -> None:
        self._monitor.failed(trial, reason)


def _train(task: Task, first: First, signals: Signals, exporter: Exporter, console: Console) -> Ending:
    """Run what is missing of the stage, in view, and say what stopped it."""
    done = task.folder.done(first.plan.trials)
    board = _board(task, first, done)
    ending = Ending()
    if first.plan.stage == "search" or board.missing:
        with shown(board, console) as view:
            ending = _run(task, first, signals, board, (_on_val(view, task, first), exporter))
    if ending.signal is not None or ending.halted is not None or ending.out_of_budget:
        print_ending(ending, board, console)
    return ending


def _on_val(view: Monitor, task: Task, first: First) -> Monitor:
    """The view, told of scores on val: those are a search's events already."""
    return view if first.plan.stage == "search" else OnVal(view, task.folder, first.sweep.primary_metric)


def _run(task: Task, first: First, signals: Signals, board: Board, monitors: Sequence[Monitor]) -> Ending:
    from dermtune import tuner  # Ray takes seconds to import: a stage that has ended does not wait for it

    train = partial(execute, micro_batch=task.micro_batch)
    if first.plan.stage == "search" and task.staging is not None:
        return tuner.search(
            task.staging.points(),
            task.folder,
            task.place,
            task.machines,
            budget=board.budget,
            monitors=monitors,
            signals=signals,
            execute=train,
        )
    return tuner.run(
        board.missing,
        task.folder,
        task.place,
        task.machines,
        budget=board.budget,
        monitors=monitors,
        signals=signals,
        execute=train,
        together=execute_together,
    )


def _board(task: Task, first: First, done: Manifests) -> Board:
    if first.plan.stage == "search":
        return SearchBoard(first.plan, first.n_trials, task.folder, budget=task.budget(done, first.plan))
    folders = {trial.trial_id: task.folder.trial(trial.trial_id) for trial in first.plan.trials}
    scores = {trial_id: val_score(folders[trial_id], first.sweep.primary_metric) for trial_id in done}
    kept = {trial_id: folder.epochs_kept() for trial_id, folder in folders.items() if trial_id not in done}
    return Board(first.plan, scores, budget=task.budget(done, first.plan), epochs_kept=kept)


def _select(staging: Staging, first: First, folder: SweepFolder) -> Selection:
    """What was tried and what is picked of it."""
    tried: tuple[Tried, ...]
    importances: Mapping[str, float] = {}
    if first.plan.stage == "search":
        from dermtune import journal

        tried = journal.tried(staging.points(), folder)
        importances = journal.importances(staging.points(), folder)
    else:
        tried = screened(first.plan, folder)
    return Selection(
        stage=first.plan.stage or "search",
        metric=first.sweep.primary_metric,
        objectives=objectives(first.sweep),
        seeds=first.plan.seeds,
        epochs=first.plan.config.training.epochs,
        tried=tried,
        picks=pick(first.sweep, tried),
        importances=importances,
        asked=question_of(first.sweep, first.plan),
    )
