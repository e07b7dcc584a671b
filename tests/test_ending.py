"""How a sweep's end is told, and which code the shell gets."""

import io
import signal

import pytest
from rich.console import Console

from dermtune.board import Board
from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.ending import Ending, print_ending
from dermtune.ledger import SweepFolder
from tests.plans import planned


def told(ending, *, n_done, failed=()):
    the_plan = planned()
    board = Board(the_plan, {trial.trial_id: 0.6 for trial in the_plan.trials[:n_done]})
    for trial in failed:
        board.failed(the_plan.trials[trial], "training loss is nan in epoch 2")
    console = Console(file=io.StringIO(), width=60)
    print_ending(ending, board, console)
    return console.file.getvalue().splitlines(), the_plan


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (Ending(), 0),
        (Ending(finished=4), 0),
        (Ending(finished=3, failed=1), 1),
        (Ending(finished=3, out_of_budget=True), 1),
        (Ending(finished=3, signal=signal.SIGINT), 130),
        (Ending(failed=1, signal=signal.SIGTERM), 143),
    ],
)
def test_the_exit_code_says_done_incomplete_or_stopped_by_which_signal(ending, code):
    assert ending.exit_code == code


def test_where_all_is_done_before_the_start_it_says_that_nothing_is_to_run():
    n = len(planned().trials)
    assert told(Ending(), n_done=n)[0] == [f"Nothing to run: {n} of {n} trials done."]


def test_a_sweep_that_ran_to_its_end_leaves_the_word_to_the_report():
    assert told(Ending(finished=2), n_done=2)[0] == []


def test_each_failed_trial_is_named_with_its_reason_in_a_line_of_its_own():
    lines, the_plan = told(Ending(finished=1, failed=2), n_done=1, failed=(1, 2))
    assert lines == [
        *(f"✗ {the_plan.trials[i].title} failed: training loss is nan in epoch 2" for i in (1, 2)),
        f"2 failed: 1 of {len(the_plan.trials)} trials done; the same command tries them again.",
    ]


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (
            Ending(finished=1, signal=signal.SIGINT),
            "Stopped by SIGINT: 1 of {} trials done; the same command goes on",
        ),
        (Ending(finished=1, out_of_budget=True), "The budget is spent: 1 of {} trials done; the same command with"),
    ],
)
def test_an_early_end_says_how_far_it_is_and_how_to_go_on(ending, said):
    lines, the_plan = told(ending, n_done=1)
    assert lines[-1].startswith(said.format(len(the_plan.trials)))


def test_a_spent_budget_closes_with_what_is_spent_and_the_limit_that_would_end_the_sweep(tmp_path):
    the_plan = planned()
    books = Books(SweepFolder(tmp_path), the_plan.trials)
    budget = Budget(books, Limits(hours=1.0), TrialHours(expected=2.0))
    board = Board(the_plan, {the_plan.trials[0].trial_id: 0.6}, budget=budget)
    console = Console(file=io.StringIO(), width=60)
    print_ending(Ending(out_of_budget=True), board, console)
    assert console.file.getvalue() == (
        "The budget is spent: 1 of 4 trials done; the same command with --max-hours 6.00 would end it: "
        "0.00 of 1.00 hours spent, 1.00 hours left, 3 trials of about 2.00 hours missing.\n"
    )
