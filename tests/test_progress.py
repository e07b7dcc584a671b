"""A running sweep is readable in any terminal, and in a log."""

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from dermtune.board import Board
from dermtune.config import Config, DataConfig, ModelConfig, TrainingConfig
from dermtune.plan import Sweep, plan
from dermtune.progress import View, duration, shown
from tests.plans import planned

EIGHT_ARMS = {"focal_gamma": (0.0, 2.0), "label_smoothing": (0.0, 0.1), "sampler_power": (0.0, 0.5)}
N_ENDED, N_RUNNING = 6, 6


def busy_board(n_seeds, metric="balanced_accuracy"):
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
    )
    for index, trial in enumerate(board.plan.trials[: N_ENDED + N_RUNNING]):
        board.started(trial)
        board.epoch(trial, {"epoch": 100 if index < N_ENDED else 42, "train_loss": 12.3456})
        if index < N_ENDED - 1:
            board.finished(trial, {metric: 0.6612})
        elif index == N_ENDED - 1:
            board.failed(trial, "out of memory")
    return board


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
        block = lines[first : lines.index("", first)]
        more = [int(line.split()[1]) for line in block if line.startswith("and ")]
        assert len(block) - len(more) + sum(more) == whole


def test_seeds_are_dotted_where_there_is_room_and_counted_elsewhere():
    assert "● · · · ·" in "\n".join(drawn(busy_board(5), 80, 40))
    assert "✗ · · · ·" in "\n".join(drawn(busy_board(5), 80, 40))
    assert "1 of 20" in "\n".join(drawn(busy_board(20), 60, 40))
    assert "1 of 40" in "\n".join(drawn(busy_board(40), 140, 40))


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
