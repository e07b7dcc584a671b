"""A sweep's trials in rounds: up to a look, then those of the arms that it leaves open, up to the next."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.console import Console

from dermtune.board import Board
from dermtune.ending import Ending
from dermtune.ledger import SweepFolder
from dermtune.plan import Trial
from dermtune.spared import course_in, spared, standing, stopped, to_train

Run = Callable[[Sequence[Trial]], Ending]
"""Runs trials and says how that ended."""


def in_rounds(board: Board, folder: SweepFolder, run: Run, console: Console) -> Ending:
    """How it ended when no look asks for more, or when something stopped it.

    What the looks decide is found anew from the folder after each round, so that a sweep which was killed goes on
    as it would have. A trial that fails is not tried twice in one start.
    """
    ending, tried, n_looks = Ending(), set[str](), 0
    while not _ended(ending):
        done = folder.done(board.plan.trials)
        course = course_in(folder, board.plan)
        board.spare(spared(board.plan, done, course), stopped(course))
        if course and len(course.stages) > n_looks:
            n_looks = len(course.stages)
            console.print(standing(course), soft_wrap=True, markup=False, highlight=False)
        trials = [t for t in to_train(board.plan, done, course) if t.trial_id not in tried]
        if not trials:
            break
        tried |= {trial.trial_id for trial in trials}
        ending = _both(ending, run(trials))
    return ending


def _ended(ending: Ending) -> bool:
    """Whether it was stopped."""
    return ending.signal is not None or ending.halted is not None or ending.out_of_budget


def _both(before: Ending, last: Ending) -> Ending:
    return replace(last, finished=before.finished + last.finished, failed=before.failed + last.failed)
