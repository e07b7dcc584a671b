"""A running sweep is readable in any terminal, and in a log."""

import io
import logging
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from dermtune.board import Board
from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.config import Config, DataConfig, ModelConfig, TrainingConfig
from dermtune.ledger import SweepFolder
from dermtune.ledger.meter import Attempt, write_attempts
from dermtune.plan import Sweep, plan
from dermtune.progress import View, duration, shown
from tests.plans import planned

EIGHT_ARMS = {"focal_gamma": (0.0, 2.0), "label_smoothing": (0.0, 0.1), "sampler_power": (0.0, 0.5)}
N_ENDED, N_RUNNING = 6, 6


REASON = "CUDA out of memory. Tried to allocate 2.50 GiB; see docs/operations.md for what to do about it " * 3


def busy_board(n_seeds, metric="balanced_accuracy", *, n_running=N_RUNNING, reason="out of memory", **how):
    """A sweep of eight arms with long names: six trials ended, one of them failed, and six run."""
    sweep = Sweep(
        name="grid",
        grid=EIGHT_ARMS,
        baseline=dict.fromkeys(EIGHT_ARMS, 0.0),
        seeds=range(n_seeds),
        primary_metric=metric,
    )
    config = Config(
        data=DataConfig(), model=ModelConfig(architecture="siglip"), training=TrainingConfig(epochs=100)
    )
    seconds = iter(range(0, 10**6, 50))
    board = Board(
        plan(sweep, config, recipe="laptop", fingerprints={"data": "a"}, n_seeds=n_seeds),
        {},
        clock=lambda: next(seconds),
        **how,
    )
    for index, trial in enumerate(board.plan.trials[: N_ENDED + n_running]):
        board.started(trial)
        board.epoch(trial, {"epoch": 100 if index < N_ENDED else 42, "train_loss": 12.3456})
        if index < N_ENDED - 1:
            board.finished(trial, {metric: 0.6612})
        elif index == N_ENDED - 1:
            board.failed(trial, reason)
    return board


def priced(folder, *, expected=None, **limits):
    """The budget of a sweep whose first trial has cost an hour."""
    trial = planned().trials[0]
    attempt = Attempt(started=None, seconds=3600.0, kept_seconds=0.0, gpus=0.0, usd_per_hour=2.0, ended="failed")
    sweep = SweepFolder(folder)
    write_attempts(sweep.trial(trial.trial_id).attempts_file, [attempt])
    return Budget(Books(sweep, [trial]), Limits(**limits), TrialHours(expected=expected))


def drawn(board, width, height):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system=None, width=width, height=height)
    console.print(View(board), end="")
    return file.getvalue().splitlines()


@pytest.mark.parametrize("metric", ["balanced_accuracy", "recall:squamous cell carcinoma"])
@pytest.mark.parametrize("n_seeds", [2, 5, 20, 40])
@pytest.mark.parametrize("height", [12, 40])
@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_live_view_fits_its_terminal_and_cuts_names_but_never_a_figure(width, height, n_seeds, metric):
    lines = drawn(busy_board(n_seeds, metric), width, height)
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    assert f"{N_ENDED} of {8 * n_seeds} trials" in text
    assert "left  " in lines[1] + "  ", "the time left stands whole in the bar's line"
    assert f"{N_ENDED - 1} done · {N_RUNNING} running · 1 failed" in text
    assert "epoch 42 of 100   loss 12.346" in text
    assert "interim mean" in text
    assert "66.12" in text


@pytest.mark.parametrize("height", [12, 16, 24, 40])
def test_arms_and_running_trials_without_room_are_counted(height):
    lines = [line.strip() for line in drawn(busy_board(5), 100, height)]
    header, running = next(i for i, line in enumerate(lines) if line.startswith("arm ")), lines.index("", 5)
    for first, whole in ((header + 1, 8), (running + 1, N_RUNNING)):
        block = [line for line in lines[first : lines.index("", first)] if not line.startswith("interim: ")]
        more = [int(line.split()[1]) for line in block if line.startswith("and ")]
        assert len(block) - len(more) + sum(more) == whole


def test_seeds_are_dotted_where_there_is_room_and_counted_elsewhere():
    assert "● · · · ·" in "\n".join(drawn(busy_board(5), 80, 40))
    assert "✗ · · · ·" in "\n".join(drawn(busy_board(5), 80, 40))
    assert "1 of 20" in "\n".join(drawn(busy_board(20), 60, 40))
    assert "1 of 40" in "\n".join(drawn(busy_board(40), 140, 40))


def test_a_budget_that_is_too_small_says_for_how_many_trials_it_has_room(tmp_path):
    budget = priced(tmp_path, expected=0.4, usd=5.0, usd_per_hour=2.0)
    said = "$2.00 of $5.00 spent (1.00 hours), $3.00 left, room for 3 of 4 trials more"
    assert said in "\n".join(drawn(Board(planned(), {}, budget=budget), 100, 40))


@pytest.mark.parametrize("height", [12, 16, 30, 60])
@pytest.mark.parametrize("width", [60, 80, 200])
def test_sixteen_running_trials_long_reasons_and_a_budget_fit_too(tmp_path, width, height):
    budget = priced(tmp_path, usd=5.0, usd_per_hour=2.0)
    board = busy_board(5, n_running=16, reason=REASON, budget=budget)
    board.noticed(board.plan.trials[0], "lost its worker and goes on from its last checkpoint")
    lines = drawn(board, width, height)
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width
    assert ("$2.00 of $5.00 spent (1.00 hours), $3.00 left" in lines[3]) == (height > 12)
    told = [line for line in lines if line.strip().startswith(("✗ focal", "! "))]
    assert len(told) == (0 if height < 16 else 1 if height < 20 else 2)


def test_fifty_arms_are_shown_as_far_as_there_is_room():
    lines = drawn(Board(planned(n_arms=50, n_seeds=3), {}), 80, 24)
    assert len(lines) <= 24
    assert any(line.strip() == "and 36 more" for line in lines)


@pytest.mark.parametrize(
    ("looks", "n_seeds", "when"),
    [
        ((), 5, "before all seeds are there"),
        ((3, 5, 10), 2, "before the look at 3 seeds"),
        ((3, 5, 10), 5, "before the look at 5 seeds"),
        ((3, 5, 10), 7, "before the look at 5 seeds"),
    ],
)
def test_means_are_called_interim_and_no_verdict_comes_before_its_look(looks, n_seeds, when):
    the_plan = planned(n_seeds=n_seeds)
    looking = replace(the_plan, sweep=replace(the_plan.sweep, looks=looks))
    text = "\n".join(drawn(Board(looking, {}), 100, 40))
    assert f"interim: no verdict is drawn {when}" in text


def test_the_latest_of_what_went_wrong_is_shown_in_a_line_each_and_told_whole_at_the_end():
    file = io.StringIO()
    board = Board(planned(), {})
    trial = board.plan.trials[0]
    with shown(board, Console(file=file, force_terminal=True, width=80, height=30)) as monitor:
        monitor.noticed(trial, REASON)
        text = "\n".join(drawn(board, 80, 30))
        assert f"! {trial.title} CUDA out of memory" in text
        assert REASON not in text
    assert REASON in file.getvalue().rpartition("\x1b[2K")[2]


def test_a_warning_of_the_log_stands_in_the_view_and_tears_it_nowhere(capsys):
    board = Board(planned(), {})
    logger = logging.getLogger("dermtune.tracking.exporter")
    with shown(board, Console(file=io.StringIO(), force_terminal=True, width=80, height=30)):
        logger.warning("MLflow at %s is away; training goes on", "http://127.0.0.1:9")
    assert [news.text for news in board.news] == ["MLflow at http://127.0.0.1:9 is away; training goes on"]
    assert capsys.readouterr().err == ""
    assert logging.getLogger("dermtune").handlers == []


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, "$2.00"),
        ({"usd": 5.0, "usd_per_hour": 2.0}, "$2.00 of $5.00"),
        ({"hours": 3.0}, "1.00 of 3.00 hours"),
        ({"hours": 3.0, "usd": 5.0, "usd_per_hour": 2.0}, "$2.00 of $5.00 and 1.00 of 3.00 hours"),
    ],
)
def test_in_a_log_each_line_says_what_is_spent_where_a_price_or_a_limit_is_known(tmp_path, limits, said):
    file = io.StringIO()
    board = Board(planned(n_arms=1, n_seeds=1), {}, budget=priced(tmp_path, **limits))
    with shown(board, Console(file=file, width=20)) as monitor:
        monitor.started(board.plan.trials[0])
        monitor.finished(board.plan.trials[0], {"balanced_accuracy": 0.5, "top1": 0.9})
    assert file.getvalue() == f"[1/1] baseline · seed 0: balanced accuracy 50.00, {said}\n"


def test_before_the_first_trial_the_view_says_that_it_starts():
    text = "\n".join(drawn(Board(planned(), {}), 80, 24))
    assert "0 of 4 trials   starting" in text
    assert "·" in text
    assert "–" in text, "an arm without a done seed has no mean"


def test_in_a_terminal_the_board_itself_follows_and_the_view_is_gone_at_the_end():
    file = io.StringIO()
    board = Board(planned(), {})
    with shown(board, Console(file=file, force_terminal=True, width=80, height=24)) as monitor:
        assert monitor is board
        monitor.started(board.plan.trials[0])
    assert "of 4 trials" in file.getvalue()
    assert file.getvalue().endswith("\x1b[2K"), "the last frame is erased"


def test_in_a_log_there_is_one_line_a_trial_that_ends_with_score_or_reason_and_the_time_left():
    seconds = iter(range(0, 1000, 30))
    board = Board(planned(n_seeds=1), {}, clock=lambda: next(seconds))
    file = io.StringIO()
    with shown(board, Console(file=file, width=20)) as monitor:
        for trial, ends in zip(board.plan.trials, (True, False), strict=True):
            monitor.started(trial)
            monitor.epoch(trial, {"epoch": 1, "train_loss": 0.5})
            if ends:
                monitor.finished(trial, {"balanced_accuracy": 0.6612, "top1": 0.9})
            else:
                monitor.failed(trial, "its [image] is torn")
    done, failed = file.getvalue().splitlines()
    assert done.startswith("[1/2] baseline · seed 0: balanced accuracy 66.12, about ")
    assert done.endswith(" left")
    assert failed == "[2/2] focal_gamma=1 · seed 0 failed: its [image] is torn"


def test_in_a_log_a_trial_without_the_metric_is_just_done():
    the_plan = planned(n_arms=1, n_seeds=1)
    board = Board(replace(the_plan, sweep=replace(the_plan.sweep, primary_metric="recall:nevus")), {})
    file = io.StringIO()
    with shown(board, Console(file=file)) as monitor:
        monitor.finished(the_plan.trials[0], {"top1": 0.9})
    assert file.getvalue() == "[1/1] baseline · seed 0: done\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 s"),
        (40, "40 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (300, "5 min"),
        (89.4 * 60, "89 min"),
        (90 * 60, "1 h 30 min"),
        (3 * 3600 + 5 * 60, "3 h 05 min"),
        (48 * 3600, "2 d 0 h"),
        (52 * 3600 + 1800, "2 d 4 h"),
    ],
)
def test_durations_are_said_in_two_units_at_most(seconds, words):
    assert duration(seconds) == words
