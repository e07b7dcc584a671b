"""A hard budget: whole trials only, and none that cannot be paid to its end."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermtune.budget import Budget, hour_limit

whole_hours = st.integers(1, 50)
limits = st.integers(0, 500)
histories = st.lists(st.booleans(), max_size=60)
"""True: a slot is free and asks for a trial. False: a trial that is under way ends."""


def lived(budget, hours, history):
    """Trials under way at the end of a history in which each trial takes `hours`."""
    under_way = 0
    for asks in history:
        if asks:
            under_way += budget.admit()
        elif under_way:
            budget.settle(hours)
            under_way -= 1
    return under_way


@given(limit=limits, hours=whole_hours, history=histories)
def test_trials_that_take_what_is_typical_never_exceed_the_limit(limit, hours, history):
    budget = Budget(limit_hours=limit, typical_hours=hours)
    under_way = lived(budget, hours, history)
    assert budget.spent_hours + under_way * hours <= limit


@given(limit=limits, hours=whole_hours, history=histories)
def test_a_trial_is_refused_only_where_it_does_not_fit_beside_what_is_under_way(limit, hours, history):
    budget = Budget(limit_hours=limit, typical_hours=hours)
    under_way = lived(budget, hours, history)
    fits = budget.spent_hours + (under_way + 1) * hours <= limit
    assert budget.admit() == fits


@given(limit=limits, hours=whole_hours, n_slots=st.integers(1, 8), history=histories)
def test_as_long_as_nothing_is_known_only_the_slots_trials_go_on_trust(limit, hours, n_slots, history):
    budget = Budget(limit_hours=limit)
    on_trust = lived(budget, hours, [True] * n_slots)
    assert on_trust == (n_slots if limit else 0)
    if on_trust:
        budget.settle(hours)
    under_way = on_trust - 1 + lived(budget, hours, history) if on_trust else 0
    assert budget.spent_hours + under_way * hours <= max(limit, on_trust * hours)


def test_what_trials_took_replaces_what_was_expected_of_them():
    budget = Budget(limit_hours=10, typical_hours=1)
    assert budget.admit()
    budget.settle(6)
    assert budget.typical_hours == 6
    assert not budget.admit(), "6 are spent, and a trial takes 6, not 1"


def test_what_earlier_runs_spent_counts():
    assert not Budget(limit_hours=10, spent_hours=9.5, typical_hours=1).admit()
    assert Budget(limit_hours=10, spent_hours=8.5, typical_hours=1).admit()


def test_without_a_limit_everything_is_admitted():
    budget = Budget(typical_hours=1e6)
    assert lived(budget, 1e6, [True] * 1000) == 1000


@pytest.mark.parametrize(
    ("max_hours", "max_usd", "usd_per_hour", "hours"),
    [
        (None, None, None, math.inf),
        (8, None, None, 8),
        (8, None, 2.5, 8),
        (None, 10, 2.5, 4),
        (8, 10, 2.5, 4),
        (3, 10, 2.5, 3),
    ],
)
def test_the_tighter_of_hours_and_dollars_holds(max_hours, max_usd, usd_per_hour, hours):
    assert hour_limit(max_hours, max_usd, usd_per_hour) == hours
