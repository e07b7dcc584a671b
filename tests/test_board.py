"""Where a sweep stands, by a clock that the test sets."""

from dataclasses import replace

import pytest

from dermtune.board import Board
from tests.plans import planned


class Clock:
    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


class Followed:
    """A board, and trials that pass before it."""

    def __init__(self, the_plan=None, scores=None):
        self.clock = Clock()
        self.plan = the_plan or planned(n_arms=2, n_seeds=3, epochs=4)
        self.board = Board(self.plan, scores or {}, clock=self.clock)

    def start(self, index):
        self.board.started(self.plan.trials[index])

    def train(self, index, epochs, seconds_an_epoch=10):
        for epoch in epochs:
            self.clock.seconds += seconds_an_epoch
            self.board.epoch(self.plan.trials[index], {"epoch": epoch, "train_loss": 1 / epoch})

    def finish(self, index, score=0.6):
        self.board.finished(self.plan.trials[index], {"balanced_accuracy": score, "top1": 0.9})

    def states(self):
        return {arm.arm: arm.states for arm in self.board.arms()}


def test_before_the_first_trial_there_is_neither_pace_nor_time_left():
    board = Followed().board
    assert (board.n_trials, board.n_ended, board.elapsed) == (6, 0, 0.0)
    assert board.trials_per_minute is None
    assert board.seconds_left is None


def test_a_started_trial_runs_and_a_pace_needs_its_first_epoch():
    sweep = Followed()
    sweep.start(0)
    sweep.clock.seconds += 7
    [running] = sweep.board.running
    assert (running.epochs_done, running.epochs, running.loss) == (0, 4, None)
    assert sweep.board.elapsed == 7
    assert sweep.board.trials_per_minute is None


def test_each_seeds_state_stands_under_its_arm():
    sweep = Followed()
    for index in range(4):
        sweep.start(index)
    sweep.finish(0)
    sweep.board.failed(sweep.plan.trials[1], "out of memory")
    assert sweep.states() == {
        "baseline": ("done", "running", "waiting"),
        "focal_gamma=1": ("failed", "running", "waiting"),
    }
    assert sweep.board.n_ended == 2
    assert sweep.board.reasons == {sweep.plan.trials[1].trial_id: "out of memory"}
    assert [running.trial for running in sweep.board.running] == list(sweep.plan.trials[2:4])


def test_pace_and_time_left_come_from_the_epochs_trained_half_a_trial_counting_half():
    sweep = Followed()
    sweep.start(0)
    sweep.train(0, range(1, 5))
    sweep.finish(0)
    sweep.start(1)
    sweep.train(1, (1, 2))
    # 6 epochs of 4 a trial in a minute: 1.5 trials a minute; 6 - 1 - 0.5 trials are left
    assert sweep.board.elapsed == 60
    assert sweep.board.trials_per_minute == pytest.approx(1.5)
    assert sweep.board.seconds_left == pytest.approx(4.5 / 1.5 * 60)


def test_trials_done_by_an_earlier_run_count_as_done_but_not_for_the_pace():
    the_plan = planned(n_arms=2, n_seeds=3, epochs=4)
    sweep = Followed(the_plan, {trial.trial_id: 0.7 for trial in the_plan.trials[:4]})
    assert sweep.board.n_ended == 4
    sweep.start(4)
    sweep.train(4, range(1, 5))
    sweep.finish(4)
    assert sweep.board.trials_per_minute == pytest.approx(60 / 40)
    assert sweep.board.seconds_left == pytest.approx(40)


def test_an_arms_mean_is_over_the_seeds_that_are_done():
    sweep = Followed()
    for index, score in ((0, 0.60), (1, 0.70), (2, 0.64)):
        sweep.start(index)
        sweep.finish(index, score)
    means = {arm.arm: arm.mean for arm in sweep.board.arms()}
    assert means == {"baseline": pytest.approx(0.62), "focal_gamma=1": pytest.approx(0.70)}


def test_an_arm_without_a_done_seed_has_no_mean():
    assert [arm.mean for arm in Followed().board.arms()] == [None, None]


def test_a_metric_that_no_trial_scores_by_itself_has_no_mean_though_its_trials_are_done():
    the_plan = planned()
    of_a_class = replace(the_plan, sweep=replace(the_plan.sweep, primary_metric="recall:nevus"))
    sweep = Followed(of_a_class, {of_a_class.trials[0].trial_id: None})
    sweep.start(1)
    sweep.finish(1)
    assert [(arm.states[0], arm.mean) for arm in sweep.board.arms()] == [("done", None), ("done", None)]


def test_a_trial_that_lost_its_worker_is_one_trial_and_goes_on_from_its_epoch():
    sweep = Followed()
    sweep.start(0)
    sweep.train(0, (1, 2))
    sweep.start(0)
    assert [running.epochs_done for running in sweep.board.running] == [2]
    sweep.train(0, (3,))
    [running] = sweep.board.running
    assert (running.epochs_done, running.loss) == (3, pytest.approx(1 / 3))
    sweep.train(0, (4,))
    sweep.finish(0)
    assert (sweep.board.n_ended, sweep.board.running) == (1, ())


def test_a_last_trial_that_runs_alone_takes_what_it_takes_though_four_ran_before_it():
    sweep = Followed(planned(n_arms=1, n_seeds=5, epochs=4))
    for index in range(4):
        sweep.start(index)
    for epoch in range(1, 5):
        sweep.train(0, (epoch,))  # all four in step: 10 seconds an epoch
        for index in range(1, 4):
            sweep.train(index, (epoch,), seconds_an_epoch=0)
    for index in range(4):
        sweep.finish(index)
    sweep.start(4)
    assert sweep.board.seconds_left == pytest.approx(40), "not the 10 that four workers would take"


def test_the_end_is_where_the_budget_ends():
    class Room:
        def room(self):
            return 1.9

    the_plan = planned(n_arms=1, n_seeds=5, epochs=4)
    board = Board(the_plan, {}, budget=Room(), clock=(clock := Clock()))
    board.started(the_plan.trials[0])
    clock.seconds += 10
    board.epoch(the_plan.trials[0], {"epoch": 1})
    assert (len(board.waiting), board.n_affordable) == (4, 1)
    assert board.seconds_left == pytest.approx(30 + 40)


def test_what_waits_goes_to_the_worker_that_is_free_first():
    sweep = Followed(planned(n_arms=1, n_seeds=5, epochs=4))
    sweep.start(0)
    sweep.start(1)
    sweep.train(0, (1,))
    sweep.train(1, (1,), seconds_an_epoch=0)
    # two run on for 30 seconds each; of three that wait, one worker has two
    assert sweep.board.seconds_left == pytest.approx(30 + 80)


def test_the_clock_runs_between_epochs_too():
    sweep = Followed(planned(n_arms=1, n_seeds=1, epochs=4))
    sweep.start(0)
    sweep.train(0, (1,))
    sweep.clock.seconds += 4
    assert sweep.board.seconds_left == pytest.approx(26)


def test_trials_of_different_lengths_count_by_their_epochs():
    the_plan = planned(n_arms=1, n_seeds=2, epochs=4)
    short, long = the_plan.trials
    training = replace(long.config.training, epochs=36)
    long = replace(long, config=replace(long.config, training=training))
    sweep = Followed(replace(the_plan, trials=(short, long)))
    sweep.start(0)
    sweep.train(0, range(1, 5))
    sweep.finish(0)
    assert sweep.board.share_ended == 0.1
    assert sweep.board.seconds_left == pytest.approx(360)


def test_epochs_that_an_earlier_start_kept_are_not_trained_again():
    the_plan = planned(n_arms=1, n_seeds=2, epochs=4)
    first, second = the_plan.trials
    board = Board(the_plan, {}, epochs_kept={first.trial_id: 2, second.trial_id: 3}, clock=(clock := Clock()))
    board.started(first)
    assert board.running[0].epochs_done == 2
    clock.seconds += 10
    board.epoch(first, {"epoch": 3})
    assert board.seconds_left == pytest.approx(10 + 10)


def test_what_went_wrong_is_told_in_its_order_and_a_failure_with_its_reason():
    sweep = Followed()
    sweep.start(0)
    sweep.board.noticed(sweep.plan.trials[0], "lost its worker and goes on from its last checkpoint")
    sweep.board.failed(sweep.plan.trials[0], "out of memory")
    sweep.board.warned("MLflow is away")
    assert [(news.text, news.failed) for news in sweep.board.news] == [
        ("baseline · seed 0 lost its worker and goes on from its last checkpoint", False),
        ("baseline · seed 0 failed: out of memory", True),
        ("MLflow is away", False),
    ]


def test_time_left_never_falls_below_nought():
    sweep = Followed(planned(n_arms=1, n_seeds=1, epochs=4))
    sweep.start(0)
    sweep.train(0, range(1, 5))
    assert sweep.board.seconds_left == 0
    sweep.finish(0)
    assert sweep.board.seconds_left == 0
