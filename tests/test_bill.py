"""What a sweep has cost, and what its budget leaves to do, in a line."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermtune.bill import _rounded_up, brief, closing, standing
from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.ledger import SweepFolder
from dermtune.ledger.meter import Attempt, write_attempts
from tests.plans import planned

TRIALS = planned(n_arms=2, n_seeds=4).trials


@pytest.fixture
def budget(tmp_path):
    """A budget of which `spent` hours are spent, at two dollars each."""

    def make(spent, *, measured=(), expected=None, usd_per_hour=2.0, **limits):
        folder = SweepFolder(tmp_path)
        attempt = Attempt(
            started=None,
            seconds=3600.0 * spent,
            kept_seconds=0.0,
            gpus=0.0,
            usd_per_hour=usd_per_hour,
            ended="failed",
        )
        write_attempts(folder.trial(TRIALS[0].trial_id).attempts_file, [attempt])
        hours = TrialHours(expected=expected, measured=measured)
        return Budget(Books(folder, TRIALS), Limits(usd_per_hour=usd_per_hour, **limits), hours)

    return make


def test_what_is_spent_and_left_stands_in_the_unit_of_the_tighter_limit(budget):
    assert standing(budget(1.5)) == "1.50 hours, $3.00 spent"
    assert standing(budget(1.5, usd_per_hour=None)) == "1.50 hours spent"
    assert standing(budget(1.5, usd=5.0)) == "$3.00 of $5.00 spent (1.50 hours), $2.00 left"
    assert standing(budget(1.5, hours=2.0)) == "1.50 of 2.00 hours spent, 0.50 hours left"
    both = "$3.00 of $5.00 and 1.50 of 2.00 hours spent, 0.50 hours left"
    assert standing(budget(1.5, usd=5.0, hours=2.0)) == both


def test_what_is_overspent_leaves_nothing_and_no_debt(budget):
    assert standing(budget(3.0, usd=5.0)) == "$6.00 of $5.00 spent (3.00 hours), $0.00 left"


def test_what_is_small_keeps_two_digits(budget):
    assert standing(budget(0.0123, usd=0.05)) == "$0.025 of $0.050 spent (0.012 hours), $0.025 left"


def test_a_log_has_no_costs_where_there_is_neither_price_nor_limit(budget):
    assert brief(budget(1.0, usd_per_hour=None)) is None


def test_the_end_names_the_limit_that_pays_for_all_that_is_missing(budget):
    spent = budget(4.5, measured=(1.0,), hours=5.0)
    assert closing(spent, TRIALS[4:]) == (
        "the same command with --max-hours 8.50 would end it: "
        "4.50 of 5.00 hours spent, 0.50 hours left, 4 trials of about 1.00 hours missing"
    )


def test_the_limit_named_is_enough_for_trials_that_take_longer_than_the_mean(budget):
    even, uneven = (budget(4.5, measured=hours, usd=9.5) for hours in ((1.0, 1.0, 1.0), (0.9, 1.0, 1.1)))
    assert "--max-usd 17.00 " in closing(even, TRIALS[4:])
    # Student's table at 2 degrees of freedom: 4.303
    more = 2.0 * 4.303 * 0.1 * math.sqrt(4 + 16 / 3)
    assert f"--max-usd {17 + more:.2f} " in closing(uneven, TRIALS[4:])


def test_both_limits_are_named_where_both_were_given_and_none_is_lowered(budget):
    said = closing(budget(4.5, expected=1.0, hours=5.0, usd=100.0), TRIALS[4:])
    assert "with --max-hours 8.50 --max-usd 100.00 would end it" in said


def test_where_nobody_knows_what_a_trial_takes_no_limit_is_made_up(budget):
    said = closing(budget(4.5, hours=4.0), TRIALS[4:])
    assert said == "the same command with more goes on: 4.50 of 4.00 hours spent, 0.00 hours left"


@given(value=st.floats(1e-6, 1e6))
def test_a_limit_is_rounded_up_and_by_little(value):
    rounded = float(_rounded_up(value))
    assert value <= rounded * (1 + 1e-12)
    assert rounded <= value * 1.11 + 1e-12
