"""What grows with a sweep grows in proportion to it: a sweep of a thousand arms is not lost in its own lists."""

import pytest

from dermtune.bill import outlook
from dermtune.board import Board
from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.config import Config
from dermtune.forecast.costs import arm_costs, whole_cost
from dermtune.ledger import SweepFolder
from tests.effort import growth
from tests.plans import planned

SMALL, LARGE = 50, 400
ABOUT = 1.15
"""What sorting, and lists that grow, may add to what is in proportion."""


def budget(plan, folder):
    return Budget(Books(folder, plan.trials), Limits(hours=10.0), TrialHours(expected=0.1))


def live(n_arms):
    board = Board(planned(n_arms=n_arms, n_seeds=1), {})
    return lambda: (board.arms(), board.waiting, board.share_ended)


def costs(n_arms, folder):
    plan = planned(n_arms=n_arms, n_seeds=1)
    of = budget(plan, folder)
    return lambda: (arm_costs(plan, {}, of), whole_cost(plan, 1, of))


def fitting(n_arms, folder):
    plan = planned(n_arms=n_arms, n_seeds=1)
    of = budget(plan, folder)
    return lambda: outlook(of, plan, plan.trials)


def test_a_look_at_the_live_view_costs_so_much_an_arm(tmp_path):
    assert growth(live, SMALL, LARGE) < ABOUT


@pytest.mark.parametrize("what", [costs, fitting])
def test_what_a_start_foretells_costs_so_much_an_arm(what, tmp_path):
    folder = SweepFolder(tmp_path)
    assert growth(lambda n: what(n, folder), SMALL, LARGE) < ABOUT


def test_admitting_a_trial_works_out_no_identity_anew(tmp_path, monkeypatch):
    plan = planned(n_arms=3, n_seeds=1)
    of = budget(plan, SweepFolder(tmp_path))
    ids = [trial.trial_id for trial in plan.trials]
    monkeypatch.setattr(Config, "departures", None)
    assert all(of.admit(trial) for trial in plan.trials)
    assert [trial.trial_id for trial in plan.trials] == ids
