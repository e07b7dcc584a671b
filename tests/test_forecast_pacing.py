"""How long trials are taken to take: by those that are done, else as timed, else as the recipe says."""

from dataclasses import replace

import pytest

from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.forecast import pace
from dermtune.timing import Seconds, Timing, kind_of
from tests.forecasts import NOWHERE, RECIPE, asking
from tests.plans import planned

PLAN = asking(planned(n_arms=2), grid={}, arms={"ema": {"ema": 0.9}}, baseline={"ema": 0.0})
BASELINE, EMA = (trial.config for trial in PLAN.trials[:2])
FLAT = Timing(
    once=8.0,
    start=2.0,
    step=Seconds(typical=0.5, low=0.4, high=0.6),
    n_steps=100,
    evaluation=0.0,
    checkpoint=0.0,
    n_train=6400,
    n_val=1,
    n_test=1,
    device="cpu",
    beside=2,
)
"""A trial of two epochs of a hundred steps takes 2 + 100 s, and a worker's first one 8 s more."""
SLOW = replace(FLAT, step=Seconds(typical=1.0, low=1.0, high=1.0))
"""One takes 2 + 200 s."""
TIMINGS = {kind_of(BASELINE): FLAT, kind_of(EMA): SLOW}


def test_each_kind_takes_what_it_was_timed_to_and_what_a_worker_waits_for_once_is_spread_over_all():
    paced = pace([BASELINE, EMA] * 2, RECIPE, timings=TIMINGS, beside=2)
    once = 8.0 * 2 / 4  # two workers, four trials
    assert (paced.seconds(BASELINE), paced.seconds(EMA)) == (pytest.approx(102 + once), pytest.approx(202 + once))
    assert paced.quartiles == (pytest.approx((82 + 202) / 2 + once), pytest.approx((122 + 202) / 2 + once))
    assert paced.origin == "timed over 100 steps here, on cpu, 2 trials side by side"


def test_a_few_trials_are_each_a_workers_first():
    assert pace([BASELINE], RECIPE, timings=TIMINGS).seconds(BASELINE) == pytest.approx(110)


def test_done_trials_outrank_their_timing_and_correct_that_of_the_other_kinds():
    paced = pace([EMA] * 4, RECIPE, done=[(BASELINE, 150.0), (BASELINE, 162.0)], timings=TIMINGS)
    assert paced.seconds(BASELINE) == 156.0
    assert paced.seconds(EMA) == pytest.approx(206 * 156 / 106)
    assert paced.origin.startswith("measured on 2 done trials, other kinds timed over 100 steps here")
    assert paced.quartiles is None


def test_where_all_kinds_are_done_nothing_else_is_asked():
    paced = pace([BASELINE, EMA], RECIPE, done=[(BASELINE, 150.0), (EMA, 90.0)], timings=TIMINGS)
    assert (paced.seconds(BASELINE), paced.seconds(EMA)) == (150.0, 90.0)
    assert paced.origin == "measured on 2 done trials"


@pytest.mark.parametrize("timings", [{}, {kind_of(BASELINE): FLAT}])
def test_where_a_kind_is_neither_done_nor_timed_all_are_taken_to_be_alike(timings):
    assert pace([BASELINE, EMA], RECIPE, timings=timings).seconds(EMA) == RECIPE.seconds_per_trial
    done = pace([BASELINE, EMA], RECIPE, done=[(BASELINE, 150.0)], timings=timings)
    assert (done.seconds(BASELINE), done.seconds(EMA)) == (150.0, 150.0)
    assert pace([EMA], replace(RECIPE, seconds_per_trial=None)).seconds(EMA) is None


def test_the_same_kind_with_more_epochs_takes_longer():
    longer = EMA.with_levers({"epochs": 4})
    paced = pace([EMA, longer], RECIPE, timings=TIMINGS)
    assert paced.seconds(longer) - paced.seconds(EMA) == pytest.approx(200)


def test_a_budget_admits_each_trial_at_its_own_weight_and_learns_from_what_is_done():
    paced = pace([trial.config for trial in PLAN.trials], RECIPE, timings=TIMINGS)
    weights = paced.weights(PLAN.trials)
    baseline, ema = PLAN.trials[:2]
    assert weights[ema.trial_id] / weights[baseline.trial_id] == pytest.approx(206 / 106)
    assert sum(weights.values()) == pytest.approx(len(PLAN.trials))
    hours = TrialHours(expected=paced.mean(PLAN.trials) / 3600)
    budget = Budget(Books(NOWHERE, PLAN.trials), Limits(hours=150 / 3600), hours, weights)
    assert budget.hours_needed(PLAN.trials) == pytest.approx(2 * (106 + 206) / 3600)
    assert budget.hours_of(ema) == pytest.approx(206 / 3600)
    assert not budget.admit(ema), "206 s do not fit into 150"
    assert budget.admit(baseline)
    budget.settle(baseline.trial_id, done=False)
    measured = replace(hours, measured=(212 / 3600 / weights[baseline.trial_id],))  # a baseline took twice as long
    assert Budget(Books(NOWHERE, PLAN.trials), Limits(), measured, weights).hours_of(ema) == pytest.approx(
        412 / 3600
    )
