"""Those who follow a sweep are all told, and none of them can end it."""

from dermtune.board import Board
from dermtune.monitors import Monitors
from tests.plans import planned


class Broken:
    def started(self, trial):
        raise RuntimeError("no terminal")

    epoch = finished = pruned = failed = lambda self, *_: self.started(None)


def test_an_exception_in_a_monitor_is_said_with_its_name_and_the_others_are_told(caplog):
    board = Board(planned(), {})
    first, second, third, *_ = board.plan.trials
    monitors = Monitors([Broken(), board])
    monitors.started(first)
    monitors.started(second)
    monitors.epoch(first, {"epoch": 1, "train_loss": 0.5})
    monitors.finished(first, {"balanced_accuracy": 0.6})
    monitors.failed(second, "out of memory")
    monitors.pruned(third, {"epoch": 1})
    assert caplog.messages == ["Broken could not follow, the sweep goes on: RuntimeError: no terminal"] * 6
    assert board.epochs_pruned == {third.trial_id: 1}
    assert (list(board.scores.values()), list(board.reasons.values())) == ([0.6], ["out of memory"])
