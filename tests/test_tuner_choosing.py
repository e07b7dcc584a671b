"""What Tune is given to run next, where slots come and go and nodes give trials back."""

import math

import pytest

from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.journal import Journal
from dermtune.ledger import SweepFolder
from dermtune.tuner.admission import Admission
from dermtune.tuner.choosing import AHEAD
from dermtune.tuner.proposing import Proposals
from tests.plans import planned
from tests.searches import searched


def sweep(folder, n_slots, *, hours=math.inf, **ahead):
    """What chooses of four planned trials, on so many slots."""
    trials = planned(n_seeds=2).trials
    limits = Limits(hours=hours)
    chooser = Admission(Budget(Books(folder, trials), limits, TrialHours(expected=1.0)), **ahead)
    chooser.give([(trial,) for trial in trials])
    chooser.slots = lambda: n_slots
    return chooser


def search(folder, n_slots, *, hours=math.inf, **ahead):
    """What chooses of four points, on so many slots."""
    points = searched(n_points=4)
    budget = Budget(Books(folder, ()), Limits(hours=hours), TrialHours(expected=1.0))
    chooser = Proposals(Journal(points, folder), budget, **ahead)
    chooser.slots = lambda: n_slots
    return chooser


@pytest.fixture(params=[sweep, search])
def choosing(request, tmp_path):
    """Makes one of either kind."""
    return lambda n_slots, **how: request.param(SweepFolder(tmp_path / "sweep"), n_slots, **how)


def given(chooser, names):
    """Those of Tune's trials that were given something."""
    return "".join(name for name in names if isinstance(chooser.suggest(name), dict))


def test_where_a_cluster_grows_by_itself_more_wait_than_it_has_slots_for(choosing):
    assert given(choosing(1, ahead=2), "abcd") == "abc"
    assert AHEAD > 4, "so all of them would"


def test_nothing_stands_still_while_a_trial_trains_and_one_that_was_given_back_has_lost_its_node(choosing):
    chooser = choosing(2)
    assert given(chooser, "ab") == "ab"
    chooser.give_back("b")
    chooser.slots = lambda: 1  # b's node has gone, and Tune has b wait for another
    chooser.lose("b")
    assert not chooser.is_stuck()
    chooser.give_back("b")  # by another node that lacks something
    chooser.slots = lambda: 2
    chooser.give_back("a")
    assert chooser.is_stuck()


def test_a_trial_that_trains_and_loses_its_worker_is_still_under_way(choosing):
    chooser = choosing(1, ahead=0)
    assert given(chooser, "a") == "a"
    chooser.lose("a")
    assert given(chooser, "b") == ""


def test_when_all_have_ended_but_what_was_given_back_nothing_is_left_to_wait_for(choosing):
    chooser = choosing(8)
    assert given(chooser, "abcd") == "abcd"
    chooser.give_back("d")
    assert given(chooser, "e") == "e"
    for name in "abc":
        chooser.on_trial_complete(name)
    assert (chooser.suggest("f"), chooser.only_keeps_slots()) == (None, False), "e may be given back"
    chooser.on_trial_complete("e")
    assert (chooser.suggest("f"), chooser.only_keeps_slots()) == (chooser.FINISHED, True)
    chooser.on_trial_complete("d")
    assert not chooser.only_keeps_slots()


def test_a_budget_that_is_spent_is_not_waited_with_for_a_trial_that_was_given_back(choosing):
    chooser = choosing(8, hours=1.0)
    assert given(chooser, "ab") == "a"
    chooser.give_back("a")
    assert given(chooser, "bc") == "b"
    chooser.on_trial_complete("b")
    chooser._budget.limits = Limits(hours=0.0)
    assert chooser.suggest("c") == chooser.FINISHED
    assert (chooser.refused, chooser.only_keeps_slots()) == (True, True)
