"""What a design takes and what it can see, before anything is started."""

import io
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console
from statsmodels.stats.power import TTestPower

from analysis.planning import ASSUMED, RUN_SD, Variation
from dermtune import arguments
from dermtune.budget import Books, Budget, Limits, TrialHours
from dermtune.data.place import Place
from dermtune.forecast import Forecast, forecast, print_forecast
from dermtune.ledger import SweepFolder
from dermtune.ledger.meter import Attempt, write_attempts
from dermtune.plan import plan
from dermtune.recipes import laptop
from dermtune.task import Task
from tests.finished_sweep import write_sweep
from tests.plans import planned

RECIPE = replace(laptop(), seconds_per_trial=900.0)
STORY = planned(n_arms=8, n_seeds=5)
"""The story's design: eight arms, five seeds, a margin of 0.6 points."""


NOWHERE = SweepFolder(Path("nowhere"))


def manifests(the_plan, n):
    """Manifests of the first `n` trials."""
    return {trial.trial_id: {"seconds": 600.0} for trial in the_plan.trials[:n]}


def foreseen(
    the_plan=STORY, recipe=RECIPE, done=None, *, gpus=0.0, variation=ASSUMED, folder=NOWHERE, **limits
) -> Forecast:
    done = done or {}
    seconds = recipe.seconds_per_trial
    hours = TrialHours(
        expected=None if seconds is None else seconds * (gpus or 1) / 3600,
        measured=tuple(manifest["seconds"] / 3600 for manifest in done.values()),
    )
    budget = Budget(Books(folder, the_plan.trials, limits.get("usd_per_hour")), Limits(**limits), hours)
    return forecast(the_plan, recipe, done, budget, variation=variation)


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
    assert row(text, "cost") == "$25.00 for 10.00 hours"


def test_trials_that_share_a_gpu_pay_for_their_share_of_its_hours_but_take_their_own_time():
    what = foreseen(gpus=0.5, usd_per_hour=2.0)
    assert (what.hours_left, what.usd_left) == (5.0, 10.0)
    assert row(printed(what), "time").startswith("10 h 00 min in all")


def test_what_is_done_is_not_paid_again_and_its_seconds_replace_the_recipes():
    what = foreseen(done=manifests(STORY, 10))
    assert what.n_missing == 30
    assert what.time.seconds == 600
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


def test_the_storys_design_cannot_see_its_margin_and_says_how_many_seeds_could():
    sight = row(printed(foreseen()), "can see")
    assert sight.startswith("a true delta of 1.39 pt in four sweeps of five, all 7 arms judged at once")
    assert "(run-to-run sd 0.6 pt, assumed; images not counted)" in sight
    assert sight.endswith("for one of the margin, 0.6 pt, it takes 25 seeds an arm")


@pytest.mark.parametrize(("n_arms", "n_seeds", "critical"), [(2, 5, 2.776), (4, 5, 2.68)])
def test_sweeps_of_noise_and_a_delta_bear_the_forecast_out(n_arms, n_seeds, critical):
    # Student's table at 4 degrees of freedom, Dunnett's of three comparisons at 12
    sight = foreseen(planned(n_arms=n_arms, n_seeds=n_seeds)).sight
    scores = np.random.default_rng(0).normal(0, RUN_SD, (20_000, n_seeds, n_arms))
    means = scores.mean(axis=1)
    residuals = (
        scores - means[:, None] - scores.mean(axis=2, keepdims=True) + scores.mean(axis=(1, 2), keepdims=True)
    )
    mean_square = (residuals**2).sum(axis=(1, 2)) / ((n_arms - 1) * (n_seeds - 1))
    t = (means[:, 1] - means[:, 0] + sight.delta) / np.sqrt(2 * mean_square / n_seeds)
    assert (t > critical).mean() == pytest.approx(0.8, abs=0.01)


def test_a_grid_says_what_its_levers_show_over_all_cells():
    text = printed(foreseen(crossed(focal_gamma=3, label_smoothing=2, sampler_power=3, n_seeds=3)))
    assert row(text, "can see").startswith("a true delta of 1.91 pt in four sweeps of five, all 17 arms judged")
    assert row(text, "main effects") == (
        "focal_gamma from 0.58 pt, label_smoothing from 0.47 pt, sampler_power from 0.58 pt, each judged by itself"
    )
    assert row(text, "interactions") == (
        "focal_gamma × label_smoothing from 1.15 pt, focal_gamma × sampler_power from 1.41 pt, "
        "label_smoothing × sampler_power from 1.15 pt, each judged by itself"
    )


def crossed(*, n_seeds, **levels):
    """The plan of a full grid of levers with so many levels each."""
    grid = {lever: tuple(level / 10 for level in range(n)) for lever, n in levels.items()}
    of_gamma = planned(n_arms=2, n_seeds=n_seeds)
    sweep = replace(of_gamma.sweep, grid=grid, baseline=dict.fromkeys(grid, 0.0))
    return plan(sweep, of_gamma.trials[0].config, recipe="laptop", fingerprints={})


def test_one_lever_has_no_effects_beside_its_arms_and_a_level_that_is_fixed_none_either():
    for the_plan in (STORY, crossed(focal_gamma=3, label_smoothing=1, n_seeds=3)):
        text = printed(foreseen(the_plan))
        assert "main effects" not in text
        assert "interactions" not in text


def test_a_design_that_sees_its_margin_is_told_nothing_more():
    generous = planned(n_arms=2, n_seeds=40)
    what = foreseen(generous)
    assert what.sight.delta < generous.sweep.margin
    assert "it takes" not in printed(what)


def test_a_margin_of_nought_is_found_by_nobody_and_asked_of_nobody():
    assert "it takes" not in printed(foreseen(with_margin(0.0)))


def test_one_seed_sees_nothing():
    what = foreseen(crossed(focal_gamma=2, label_smoothing=2, n_seeds=1))
    assert math.isinf(what.sight.delta)
    assert row(printed(what), "can see").startswith("no delta at all: one seed does not measure noise")
    assert "main effects" not in printed(what)


@pytest.mark.parametrize("margin", [0.006, 0.002, 0.0008])
def test_the_seeds_that_a_margin_takes_are_those_of_the_textbook(margin):
    effect = margin / (RUN_SD * math.sqrt(2))
    needed = math.ceil(TTestPower().solve_power(effect, alpha=0.05, power=0.8))
    assert foreseen(with_margin(margin)).sight.needed.n_seeds == needed


def test_a_margin_out_of_reach_is_not_priced_in_seeds():
    what = foreseen(with_margin(0.0001))
    assert what.sight.needed.n_seeds is None
    assert row(printed(what), "can see").endswith("it takes more than 1000 seeds an arm")


def test_a_margin_that_the_images_hide_asks_for_images():
    variation = Variation(run_sd=0.008, image_sd=0.003, image_sd_from="measured on 900 images")
    sight = row(printed(foreseen(variation=variation), width=300), "can see")
    assert "(run-to-run sd 0.8 pt, assumed; sd from images 0.3 pt, measured on 900 images)" in sight
    assert sight.endswith("it takes more test images than these")


def with_margin(margin):
    the_plan = planned(n_arms=2, n_seeds=5)
    return replace(the_plan, sweep=replace(the_plan.sweep, margin=margin))


@pytest.fixture
def task(tmp_path):
    """The story's task, in whose folder nothing is done yet."""
    return Task(
        asked=arguments.parse(["sweeps/focal_ls.py"]),
        plan=STORY,
        question="",
        recipe=RECIPE,
        place=Place(data_dir=tmp_path, cache_dir=tmp_path),
        classes=(),
        folder=SweepFolder(tmp_path / "focal-laptop"),
    )


def test_done_trials_replace_the_assumed_noise_by_theirs_and_their_images(task):
    write_sweep(task.folder.path, {"baseline": 0.0, "focal_gamma=1": 0.0, "focal_gamma=2": 0.0})
    sight = row(printed(task.forecast(manifests(STORY, 15)), width=300), "can see")
    assert re.search(r"run-to-run sd 1\.\d+ pt, seed correlation \S+, measured on 15 runs; ", sight)
    assert re.search(r"sd from images 0\.\d+ pt, measured on 1,512 images\)", sight)


def test_before_a_trial_is_done_or_where_none_can_be_compared_noise_is_assumed(task):
    for done in ({}, manifests(STORY, 1)):
        assert task.forecast(done).sight.variation == ASSUMED


def test_a_lone_arm_is_compared_with_nothing():
    assert "can see" not in printed(foreseen(planned(n_arms=1, n_seeds=5)))


@pytest.mark.parametrize(
    ("n_seeds", "told"),
    [
        (2, "3, 5 and 10 seeds an arm; these 2 reach none: nothing is judged before 3"),
        (5, "3, 5 and 10 seeds an arm; these 5 reach look 2 of 3"),
        (7, "3, 5 and 10 seeds an arm; these 7 reach look 2 of 3, 2 seeds beyond it are not judged"),
        (11, "3, 5 and 10 seeds an arm; these 11 reach look 3 of 3, 1 seed beyond it is not judged"),
    ],
)
def test_declared_looks_are_told_with_the_one_that_the_seeds_reach(n_seeds, told):
    the_plan = planned(n_arms=2, n_seeds=n_seeds)
    looking = replace(the_plan, sweep=replace(the_plan.sweep, looks=(3, 5, 10)))
    assert row(printed(foreseen(looking)), "looks") == told
    assert "looks" not in printed(foreseen(the_plan))


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_forecast_fits_its_terminal(width):
    assert max(map(cell_len, printed(foreseen(usd_per_hour=2.0), width).splitlines())) <= width


def test_a_forecast_loads_no_training_stack():
    heavy = {"ray", "torch", "mlflow", "transformers"}
    code = f"import sys, dermtune.forecast; print(sorted({heavy} & {{*sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
