"""What a design takes and what it can see, before anything is started."""

import io
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console
from statsmodels.stats.power import TTestPower

from analysis.power import smallest_detectable_delta
from dermtune.forecast import RUN_SD, Forecast, forecast, print_forecast
from dermtune.recipes import laptop
from tests.plans import planned

RECIPE = replace(laptop(), seconds_per_trial=900.0)
STORY = planned(n_arms=8, n_seeds=5)
"""The story's design: eight arms, five seeds, a margin of 0.6 points."""


def manifests(the_plan, n, *, seconds=600.0, scores=None):
    """Manifests of the first `n` trials."""
    scores = scores or [0.6] * n
    return {
        trial.trial_id: {"arm": trial.arm, "seconds": seconds, "scores": {"test": {"balanced_accuracy": score}}}
        for trial, score in zip(the_plan.trials[:n], scores, strict=False)
    }


def foreseen(the_plan=STORY, recipe=RECIPE, done=None, *, gpus=0.0, usd_per_hour=None) -> Forecast:
    return forecast(the_plan, recipe, done or {}, gpus=gpus, usd_per_hour=usd_per_hour)


def printed(what, width=200):
    file = io.StringIO()
    print_forecast(what, Console(file=file, width=width))
    return file.getvalue()


def row(text, name):
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return line.removeprefix(name).strip()


def test_forty_trials_of_fifteen_minutes_take_ten_hours_and_cost_ten_times_the_price():
    what = foreseen(usd_per_hour=2.5)
    assert (what.hours_left, what.usd_left, what.n_missing) == (10.0, 25.0, 40)
    text = printed(what)
    assert row(text, "time").startswith("10 h 00 min in all, 40 trials of 15 min (the figure of recipe laptop)")
    assert row(text, "cost") == "$25.00 for 10.0 hours"


def test_trials_that_share_a_gpu_pay_for_their_share_of_its_hours_but_take_their_own_time():
    what = foreseen(gpus=0.5, usd_per_hour=2.0)
    assert (what.hours_left, what.usd_left) == (5.0, 10.0)
    assert row(printed(what), "time").startswith("10 h 00 min in all")


def test_what_is_done_is_not_paid_again_and_its_seconds_replace_the_recipes():
    what = foreseen(done=manifests(STORY, 10))
    assert (what.n_done, what.n_missing) == (10, 30)
    assert what.seconds_per_trial == 600
    assert what.hours_left == pytest.approx(30 * 600 / 3600)
    assert "30 trials of 10 min (measured on 10 done trials)" in printed(what)


def test_without_any_measured_duration_the_time_is_unknown_and_nothing_is_made_up():
    what = foreseen(recipe=replace(RECIPE, seconds_per_trial=None), usd_per_hour=2.0)
    assert (what.hours_left, what.usd_left) == (None, None)
    assert row(printed(what), "time") == "unknown until a first trial is done"
    assert "cost" not in printed(what)


def test_where_all_is_done_nothing_is_left_to_pay():
    what = foreseen(done=manifests(STORY, 40), usd_per_hour=2.0)
    assert (what.n_missing, what.hours_left, what.usd_left) == (0, 0.0, 0.0)
    assert row(printed(what), "time").startswith("none: nothing is to run")


def test_the_storys_design_cannot_see_its_margin_and_says_how_many_seeds_could():
    what = foreseen()
    by_power = [smallest_detectable_delta(n, RUN_SD, n_comparisons=7) for n in (5, what.seeds_for_margin)]
    assert what.smallest_delta == by_power[0] > STORY.sweep.margin >= by_power[1]
    one_less = smallest_detectable_delta(what.seeds_for_margin - 1, RUN_SD, n_comparisons=7)
    assert one_less > STORY.sweep.margin, "not one seed more than it takes"
    sight = row(printed(what), "can see")
    assert sight.startswith(f"a true delta of {100 * what.smallest_delta:.2f} pt in four sweeps of five")
    assert "run-to-run sd 0.6 pt, assumed" in sight
    assert sight.endswith(f"for one of the margin, 0.6 pt, it takes {what.seeds_for_margin} seeds an arm")


def test_sweeps_of_noise_and_a_delta_bear_the_forecast_out():
    n_sweeps = 4000
    what = foreseen(planned(n_arms=2, n_seeds=5))
    rng = np.random.default_rng(0)
    deltas = rng.normal(what.smallest_delta, RUN_SD * math.sqrt(2), size=(n_sweeps, 5))
    t = deltas.mean(axis=1) / (deltas.std(axis=1, ddof=1) / math.sqrt(5))
    share_found = np.mean(np.abs(t) > 2.776)  # t table, 4 degrees of freedom, 97.5%
    assert share_found == pytest.approx(0.8, abs=0.02)


def test_a_design_that_sees_its_margin_is_told_nothing_more():
    generous = planned(n_arms=2, n_seeds=40)
    what = foreseen(generous)
    assert what.smallest_delta < generous.sweep.margin
    assert "it takes" not in printed(what)


def test_one_seed_sees_nothing():
    what = foreseen(planned(n_arms=2, n_seeds=1))
    assert math.isinf(what.smallest_delta)
    assert row(printed(what), "can see").startswith("no delta at all: one seed does not measure noise")


@pytest.mark.parametrize("margin", [0.006, 0.002, 0.0008])
def test_the_seeds_that_a_margin_takes_are_those_of_the_textbook(margin):
    what = foreseen(with_margin(margin))
    effect = margin / (RUN_SD * math.sqrt(2))
    assert what.seeds_for_margin == math.ceil(TTestPower().solve_power(effect, alpha=0.05, power=0.8))


def test_a_margin_out_of_reach_is_not_priced_in_seeds():
    what = foreseen(with_margin(0.0001))
    assert what.seeds_for_margin is None
    assert row(printed(what), "can see").endswith("it takes more than 1000 seeds an arm")


def with_margin(margin):
    the_plan = planned(n_arms=2, n_seeds=5)
    return replace(the_plan, sweep=replace(the_plan.sweep, margin=margin))


def test_noise_measured_over_the_seeds_replaces_the_assumed():
    the_plan = planned(n_arms=2, n_seeds=4)
    baseline, focal = [0.60, 0.61, 0.62], [0.70, 0.72, 0.74]
    scores = [score for pair in zip(baseline, focal, strict=True) for score in pair]
    what = foreseen(the_plan, done=manifests(the_plan, 6, scores=scores))
    assert what.run_sd == pytest.approx(math.sqrt((0.01**2 + 0.02**2) / 2))
    assert what.smallest_delta == smallest_detectable_delta(4, what.run_sd)
    assert "run-to-run sd 1.58 pt, measured on 6 done trials" in printed(what)


def test_two_seeds_an_arm_are_too_few_to_measure_noise():
    what = foreseen(done=manifests(STORY, 16, scores=[0.5, 0.7] * 8))
    assert (what.run_sd, what.run_sd_from) == (RUN_SD, "assumed")


def test_a_lone_arm_is_compared_with_nothing():
    assert "can see" not in printed(foreseen(planned(n_arms=1, n_seeds=5)))


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_forecast_fits_its_terminal(width):
    assert max(map(cell_len, printed(foreseen(usd_per_hour=2.0), width).splitlines())) <= width


def test_a_forecast_loads_no_training_stack():
    heavy = {"ray", "torch", "mlflow", "transformers"}
    code = f"import sys, dermtune.forecast; print(sorted({heavy} & {{*sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
