"""A search in view: points as they come, the best so far with their levers, marked as interim."""

import io

import pytest
from optuna.distributions import FloatDistribution
from rich.cells import cell_len
from rich.console import Console

from dermtune.board import State
from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.ending import Ending, print_ending
from dermtune.ledger import Pruned, SweepFolder
from dermtune.plan import Arm, Plan
from dermtune.progress import MARKS, View, shown
from dermtune.searchboard import SearchBoard
from tests.searches import SPACE, hill, searched
from tests.searching import Searching
from tests.test_board import Clock

FIVE = {
    "focal_gamma": FloatDistribution(0, 5),
    "label_smoothing": FloatDistribution(0, 0.3),
    "sampler_power": FloatDistribution(0, 1),
    "logit_adjustment": FloatDistribution(0, 2),
    "learning_rate_factor": FloatDistribution(0.1, 10, log=True),
}


def plan_of(points, trials=()):
    known = trials or (points.baseline,)
    arms = tuple(Arm(name=trial.arm, levers=trial.levers) for trial in known)
    return Plan(
        sweep=points.sweep, recipe="laptop", config=points.config, seeds=(1000,), arms=arms, trials=tuple(known)
    )


class Followed:
    """A board of a search of ten points, of four epochs each, and trials that pass before it."""

    def __init__(self, folder, points=None, *, known=(), **how):
        self.points, self.clock = points or searched(n_points=10), Clock()
        self.board = SearchBoard(
            plan_of(self.points, known), 10, SweepFolder(folder), **{"clock": self.clock, **how}
        )

    def trial(self, number, **levers):
        return self.points.trial(number, levers or {"focal_gamma": number / 10} if number else {})

    def train(self, trial, epochs=4, score=None):
        self.board.started(trial)
        for epoch in range(1, epochs + 1):
            self.clock.seconds += 10
            self.board.epoch(trial, {"epoch": epoch, "train_loss": 1 / epoch})
        if score is not None:
            self.board.finished(trial, {self.points.sweep.primary_metric: score})

    def prune(self, trial, epochs):
        self.train(trial, epochs)
        self.board.pruned(trial, {"epoch": float(epochs)})


def drawn(board, width, height):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system=None, width=width, height=height)
    console.print(View(board), end="")
    return file.getvalue().splitlines()


def test_a_point_is_known_as_it_starts_and_those_to_come_wait(tmp_path):
    search = Followed(tmp_path)
    assert (search.board.n_trials, len(search.board.waiting), len(search.board.plan.trials)) == (10, 10, 1)
    search.board.started(search.trial(0))
    search.board.started(search.trial(1))
    search.board.started(search.trial(1))
    assert (search.board.n_trials, len(search.board.waiting), len(search.board.plan.trials)) == (10, 8, 2)


def test_points_are_counted_by_what_became_of_them(tmp_path):
    search = Followed(tmp_path)
    search.train(search.trial(0), score=0.6)
    search.prune(search.trial(1), 1)
    search.prune(search.trial(2), 2)
    search.board.failed(search.trial(3), "out of memory")
    search.train(search.trial(4), 2)
    board = search.board
    assert (board.n_ended, len(board.running), board.share_ended) == (4, 1, pytest.approx(0.45))
    assert set(board.epochs_pruned.values()) == {1, 2}
    text = "\n".join(drawn(board, 100, 30))
    assert "4 of 10 points" in text
    assert "1 done · 1 running · 2 pruned · 1 failed" in text


def test_time_left_counts_on_points_to_come_being_pruned_as_often_as_those_before(tmp_path):
    search = Followed(tmp_path)
    search.train(search.trial(0), score=0.6)
    assert search.board.seconds_left == pytest.approx(9 * 4 * 10)
    search.prune(search.trial(1), 2)
    search.prune(search.trial(2), 1)
    search.prune(search.trial(3), 1)  # four points, two epochs each on average, ten seconds an epoch
    assert search.board.seconds_left == pytest.approx(6 * 2 * 10)
    assert search.board.trials_per_minute == pytest.approx(4 / 80 * 60)


def test_a_search_that_goes_on_begins_where_it_was(tmp_path):
    search = Searching(tmp_path, searched(n_points=10))
    journal = search.journal()
    done, pruned, cut_off, failed = (journal.propose() for _ in range(4))
    search.finish(done)
    search.prune(pruned)
    search.fail(failed)
    folder = search.folder.trial(cut_off.trial_id)
    folder.checkpoint.mkdir(parents=True)
    (folder.checkpoint / "epoch").write_text("3")
    folder.write_history([search.row(cut_off, epoch) for epoch in (1, 2, 3)])
    board = Followed(tmp_path, known=(done, pruned, cut_off, failed)).board
    assert [arm.states for arm in board.arms()] == [("done",), ("pruned",), ("waiting",), ("waiting",)]
    assert [point.score for point in board.ranked] == [pytest.approx(hill(done.levers)["balanced_accuracy"])]
    board.started(cut_off)
    assert board.running[0].epochs_done == 3
    assert len(board.missing) == 8


@pytest.mark.parametrize(("metric", "first"), [("balanced_accuracy", "point-2"), ("nll", "point-1")])
def test_the_best_stand_first_whichever_way_the_metric_goes(tmp_path, metric, first):
    search = Followed(tmp_path, searched(metric=metric, n_points=10))
    for number, score in enumerate((0.6, 0.5, 0.7)):
        search.train(search.trial(number), score=score)
    assert search.board.ranked[0].name == first


@pytest.mark.parametrize("height", [12, 16, 24, 40])
@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("n_done", [0, 1, 2, 9])
def test_the_view_of_a_search_fits_its_terminal_and_cuts_no_score(tmp_path, width, height, n_done):
    baseline = {**dict.fromkeys(FIVE, 0.0), "learning_rate_factor": 1.0}
    search = Followed(tmp_path, searched(space=FIVE, baseline=baseline, n_points=10))
    for number in range(n_done):
        search.train(search.trial(number, learning_rate_factor=1 + number / 7), score=0.5 + number / 100)
    search.train(search.trial(n_done, learning_rate_factor=3.0), 2)
    lines = drawn(search.board, width, height)
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    assert f"{n_done} of 10 points" in text
    assert "on val, interim" in text
    assert ("50.00" in text) == (n_done == 1 or (n_done > 1 and height > 12)), "the baseline, whatever its rank"
    assert (f"{50 + n_done - 1}.00" in text) == (n_done > 0)
    assert "epoch 2 of 4" in text


def test_levers_stand_in_columns_of_their_own_as_far_as_there_is_room(tmp_path):
    search = Followed(tmp_path)
    search.train(search.trial(1, focal_gamma=2.13579, label_smoothing=0.0123), score=0.7)
    wide, narrow = ("\n".join(drawn(search.board, width, 30)) for width in (100, 50))
    assert "2.14" in wide
    assert "0.0123" in wide
    assert "gamma" in wide
    assert "0.0123" not in narrow
    assert "70.00" in narrow


def test_scores_are_called_interim_and_the_best_lucky(tmp_path):
    text = "\n".join(drawn(Followed(tmp_path).board, 120, 30))
    assert "interim: on val, with one seed, so the best are the luckiest too; fresh seeds on test will tell" in text


def test_in_a_log_each_point_is_a_line_with_its_levers_and_its_score_on_val(tmp_path):
    file = io.StringIO()
    search = Followed(tmp_path)
    point = search.trial(1, focal_gamma=2.13579)
    with shown(search.board, Console(file=file, width=20)) as monitor:
        monitor.started(search.trial(0))
        monitor.finished(search.trial(0), {"balanced_accuracy": 0.66})
        monitor.started(point)
        monitor.pruned(point, {"epoch": 2.0})
        monitor.failed(search.trial(2), "out of memory")
    assert file.getvalue().splitlines() == [
        "[1/10] baseline: balanced accuracy 66.00 on val",
        "[2/10] point-1 (focal_gamma=2.14): pruned after 2 epochs",
        "[3/10] point-2 · seed 1000 failed: out of memory",
    ]


def test_every_state_has_a_mark_of_its_own():
    assert set(MARKS) == set(State.__args__)
    assert len({mark for mark, _ in MARKS.values()}) == len(MARKS)


def test_the_end_of_a_search_says_what_was_pruned_and_what_more_would_take(tmp_path):
    file, folder = io.StringIO(), SweepFolder(tmp_path)
    points = searched(n_points=10)
    books = Books(folder, [points.baseline])
    budget = Budget(books, Limits(hours=2.0), TrialHours(expected=1.0))
    search = Followed(tmp_path, points, budget=budget)
    search.train(search.trial(0), score=0.6)
    search.prune(search.trial(1), 1)
    print_ending(Ending(finished=1, pruned=1, out_of_budget=True), search.board, Console(file=file, width=200))
    said = file.getvalue()
    assert said.startswith(
        "The budget is spent: 1 of 10 points done, 1 pruned; the same command with --max-hours 8.00"
    )
    assert "8 trials of about 1.00 hours missing" in said


def test_a_pruned_point_is_not_pruned_without_its_record(tmp_path):
    points = searched()
    folder = SweepFolder(tmp_path)
    folder.trial(points.baseline.trial_id).path.mkdir(parents=True)
    folder.trial(points.baseline.trial_id).prune(Pruned(epochs=1, scores={"balanced_accuracy": 0.1}))
    assert Followed(tmp_path, points).board.epochs_pruned == {points.baseline.trial_id: 1}
    assert SPACE.keys() == points.baseline.levers.keys()
