"""What a design takes, before anything is started: hours, cost and what the budget has room for."""

import math
from dataclasses import replace

import pytest

from dermtune.ledger import SweepFolder
from dermtune.ledger.meter import Attempt, write_attempts
from tests.forecasts import RECIPE, STORY, foreseen, manifests, printed, row, sentences
from tests.plans import planned


def test_forty_trials_of_fifteen_minutes_take_ten_hours_and_cost_ten_times_the_price():
    what = foreseen(usd_per_hour=2.5)
    assert (what.left.hours, what.left.usd, what.n_missing) == (pytest.approx(10.0), pytest.approx(25.0), 40)
    text = printed(what)
    assert row(text, "time").startswith("10 h 00 min in all, 40 trials of 15 min, the figure of recipe laptop;")
    assert row(text, "in all").split() == ["0", "40", "10.00", "$25.00"]
    assert row(text, "focal_gamma=3").split() == ["0", "5", "1.25", "$3.12"]


def test_trials_that_share_a_gpu_pay_for_their_share_of_its_hours_but_take_their_own_time():
    what = foreseen(gpus=0.5, usd_per_hour=2.0)
    assert (what.left.hours, what.left.usd) == (pytest.approx(5.0), pytest.approx(10.0))
    assert row(printed(what), "time").startswith("10 h 00 min in all")


def test_what_is_done_is_not_paid_again_and_its_seconds_replace_the_recipes():
    what = foreseen(done=manifests(STORY, 10))
    assert what.n_missing == 30
    assert what.left.hours == pytest.approx(30 * 600 / 3600)
    assert "30 trials of 10 min, measured on 10 done trials" in printed(what)


def test_without_any_measured_duration_the_time_is_unknown_and_nothing_is_made_up():
    what = foreseen(recipe=replace(RECIPE, seconds_per_trial=None), usd_per_hour=2.0)
    assert (what.left.hours, what.left.usd) == (None, None)
    assert row(printed(what), "time") == "unknown until a first trial is done"
    assert row(printed(what), "in all").split() == ["0", "40", "?", "?"]
    assert "hours" not in sentences(what)[0]


def test_where_all_is_done_nothing_is_left_to_pay():
    what = foreseen(done=manifests(STORY, 40), usd_per_hour=2.0)
    assert (what.n_missing, what.left.hours, what.left.usd) == (0, 0.0, 0.0)
    assert row(printed(what), "time").startswith("none: nothing is to run")


# The budget.


def spent(folder, the_plan, hours, *, ended="done", usd_per_hour=2.0):
    """One attempt at each of the first trials, of so many hours."""
    for trial, took in zip(the_plan.trials, hours, strict=False):
        attempt = Attempt(
            started=None,
            seconds=3600 * took,
            kept_seconds=3600 * took if ended == "done" else 0.0,
            gpus=0.0,
            usd_per_hour=usd_per_hour,
            ended=ended,
        )
        write_attempts(folder.trial(trial.trial_id).attempts_file, [attempt])


def test_a_budget_that_all_fits_into_says_so():
    text = row(printed(foreseen(usd_per_hour=2.5, usd=30.0)), "budget")
    assert text == (
        "$0.00 of $30.00 spent (0.00 hours), $30.00 left; the 40 missing trials take about $25.00 and fit"
    )


def test_a_budget_that_is_too_small_says_how_many_trials_fit_and_how_many_seeds_are_whole_then():
    text = row(printed(foreseen(hours=4.3)), "budget")
    assert text == (
        "0.00 of 4.30 hours spent, 4.30 hours left; the 40 missing trials take about 10.00 hours: "
        "17 of them fit, which makes 2 of 5 seeds whole"
    )


def test_a_budget_too_small_for_a_trial_says_that_none_fits():
    assert "none of them fits, which makes 0 of 5 seeds whole" in printed(foreseen(hours=0.2))


def test_attempts_that_came_to_nothing_are_spent_and_told(tmp_path):
    folder = SweepFolder(tmp_path)
    spent(folder, STORY, [0.5, 1.0], ended="failed")
    text = row(printed(foreseen(folder=folder, usd_per_hour=2.0, usd=30.0)), "budget")
    assert text.startswith(
        "$3.00 of $30.00 spent (1.50 hours), $27.00 left; 1.50 hours, $3.00 of it came to nothing; "
    )


def test_what_trials_have_taken_says_how_sure_the_price_of_the_others_is(tmp_path):
    folder, the_plan = SweepFolder(tmp_path), planned(n_arms=2, n_seeds=4)
    done = {
        trial.trial_id: {"seconds": took} for trial, took in zip(the_plan.trials, (3240, 3600, 3960), strict=False)
    }
    spent(folder, the_plan, [0.9, 1.0, 1.1])
    text = row(printed(foreseen(the_plan, done=done, folder=folder, hours=20.0)), "budget")
    # Student's table at 2 degrees of freedom: 4.303; five trials to come after three
    assert f"the 5 missing trials take about 5.00 hours ± {4.303 * 0.1 * math.sqrt(5 + 25 / 3):.2f} hours" in text
    assert text.endswith("and fit")


def test_where_nobody_knows_what_a_trial_takes_the_budget_says_so():
    unknown = foreseen(recipe=replace(RECIPE, seconds_per_trial=None), hours=3.0)
    assert row(printed(unknown), "budget") == (
        "0.00 of 3.00 hours spent, 3.00 hours left; "
        "what a trial takes is not known yet: the first ones start on trust"
    )


def test_a_budget_that_is_spent_says_that_nothing_more_starts(tmp_path):
    folder = SweepFolder(tmp_path)
    spent(folder, STORY, [2.0], ended="failed")
    text = row(
        printed(foreseen(recipe=replace(RECIPE, seconds_per_trial=None), folder=folder, hours=1.0)), "budget"
    )
    assert text == (
        "2.00 of 1.00 hours spent, 0.00 hours left; 2.00 hours, $4.00 of it came to nothing; "
        "no further trial is started"
    )


def test_both_limits_are_told_and_what_is_left_of_the_tighter_one():
    text = row(printed(foreseen(hours=4.0, usd=5.0, usd_per_hour=2.0)), "budget")
    assert text.startswith("$0.00 of $5.00 and 0.00 of 4.00 hours spent, $5.00 left; ")
    text = row(printed(foreseen(hours=2.0, usd=5.0, usd_per_hour=2.0)), "budget")
    assert text.startswith("$0.00 of $5.00 and 0.00 of 2.00 hours spent, 2.00 hours left; ")


def test_without_a_limit_what_was_spent_is_told_and_nothing_where_nothing_was(tmp_path):
    assert "budget" not in printed(foreseen())
    assert "spent" not in printed(foreseen())
    folder = SweepFolder(tmp_path)
    spent(folder, STORY, [0.5, 1.0])
    assert row(printed(foreseen(folder=folder)), "spent").startswith(
        "1.50 hours, $3.00 spent; the 40 missing trials"
    )
