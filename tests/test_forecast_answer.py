"""Whether a design can answer its own question, and what would: against textbooks, statsmodels and simulation."""

import math
import re

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from analysis.looks import ALPHA, nominal_levels
from analysis.planning import ASSUMED, RUN_SD, Variation
from dermtune import arguments
from dermtune.data.place import Place
from dermtune.forecast import Known, answer
from dermtune.ledger import SweepFolder
from dermtune.task import Task
from tests.finished_sweep import write_sweep
from tests.forecasts import RECIPE, STORY, asking, crossed, foreseen, manifests, printed, row, sentences
from tests.plans import planned

TWO_ARMS = planned(n_arms=2, n_seeds=5)


def with_margin(margin, of=TWO_ARMS):
    return asking(of, margin=margin)


def kinds(what):
    return [sentence.kind for sentence in answer(what)]


def test_the_storys_design_cannot_see_its_margin_and_the_seeds_that_could_are_priced():
    first, *_ = sentences(foreseen(usd_per_hour=2.0))
    assert first == (
        "This design cannot see its own margin: a true delta of 0.6 pt is found in 13% of sweeps, all 7 arms "
        "judged at once. It finds one of 1.39 pt in four sweeps of five; 0.6 pt takes 25 seeds an arm, 50.00 hours "
        "and $100.00 in all."
    )
    assert kinds(foreseen())[0] == "cannot"


def test_a_design_that_sees_its_margin_says_so_and_with_which_chance():
    what = foreseen(planned(n_arms=2, n_seeds=25))
    assert what.sight.delta < what.plan.sweep.margin
    # a one-sided noncentral t at 24 degrees of freedom
    noncentral = stats.nct(24, 0.006 / (RUN_SD * math.sqrt(2 / 25)))
    chance = noncentral.sf(stats.t.ppf(0.975, 24))
    assert sentences(what) == [
        f"This design can see its own margin: a true delta of 0.6 pt is found in {chance:.0%} of sweeps."
    ]
    assert kinds(what) == ["can"]


def test_one_seed_decides_nothing_and_is_told_what_would():
    what = foreseen(crossed(focal_gamma=2, label_smoothing=2, n_seeds=1))
    assert math.isinf(what.sight.delta)
    [only] = sentences(what)
    assert only.startswith("This design decides nothing: one seed measures no noise")
    assert re.search(r"A true delta of the margin, 0\.6 pt, takes \d+ seeds an arm, \S+ hours in all\.$", only)
    assert "main effects" not in printed(what)
    assert row(printed(what), "1 seed an arm").split()[1] == "nothing"


def test_a_lone_arm_is_compared_with_nothing():
    what = foreseen(planned(n_arms=1, n_seeds=5))
    assert sentences(what) == [
        "This design compares nothing: it has no arm but the baseline, and measures its run-to-run noise."
    ]
    assert "finds" not in printed(what)
    assert "one seed is too few" in sentences(foreseen(planned(n_arms=1, n_seeds=1)))[0]


def test_a_margin_of_nought_is_found_by_nobody_and_asked_of_nobody():
    what = foreseen(with_margin(0.0))
    assert sentences(what) == ["This design finds a true delta from 1.43 pt on; any is asked for, its margin is 0."]
    assert "finds 0 pt" not in printed(what)


@pytest.mark.parametrize("margin", [0.006, 0.002, 0.0008])
def test_the_seeds_that_a_margin_takes_are_those_of_the_textbook(margin):
    effect = margin / (RUN_SD * math.sqrt(2))
    needed = math.ceil(TTestPower().solve_power(effect, alpha=0.05, power=0.8))
    assert foreseen(with_margin(margin)).sight.needed.n_seeds == needed
    assert f"takes {needed} seeds an arm" in sentences(foreseen(with_margin(margin)))[0]


def test_a_margin_out_of_reach_is_not_priced_in_seeds():
    what = foreseen(with_margin(0.0001))
    assert what.sight.needed.n_seeds is None
    assert sentences(what)[0].endswith("0.01 pt takes more than 1000 seeds an arm.")


def test_a_margin_that_the_images_hide_asks_for_images():
    variation = Variation(run_sd=0.008, image_sd=0.003, image_sd_from="measured on 900 images")
    what = foreseen(known=Known(variation=variation))
    assert sentences(what)[0].endswith("no number of seeds finds 0.6 pt: the test images alone hide it.")
    assert row(printed(what), "noise") == (
        "run-to-run sd 0.8 pt, assumed; sd from images 0.3 pt, measured on 900 images"
    )


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
    standard_error = np.sqrt(2 * mean_square / n_seeds)
    noise = means[:, 1] - means[:, 0]
    assert ((noise + sight.delta) / standard_error > critical).mean() == pytest.approx(0.8, abs=0.01)
    found = ((noise + 0.006) / standard_error > critical).mean()
    assert sight.judged.chance == pytest.approx(found, abs=0.01)


# Looks.


LOOKS = (3, 5, 10)


def looking(n_seeds, **more):
    return asking(planned(n_arms=2, n_seeds=n_seeds), looks=LOOKS, **more)


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
    assert row(printed(foreseen(looking(n_seeds))), "looks") == told
    assert "looks" not in printed(foreseen(planned(n_arms=2, n_seeds=n_seeds)))


def test_each_look_has_its_own_level_and_the_delta_that_it_finds_is_that_of_the_level():
    looks = foreseen(looking(5)).sight.looks
    assert [look.alpha for look in looks] == pytest.approx(nominal_levels([0.3, 0.5, 1.0]))
    effect = looks[1].delta / (RUN_SD * math.sqrt(2))
    power = TTestPower().power(effect, nobs=5, alpha=looks[1].alpha, alternative="larger")
    two_sided = TTestPower().power(effect, nobs=5, alpha=looks[1].alpha / 2, alternative="larger")
    assert two_sided == pytest.approx(0.8, abs=1e-6)
    assert power > two_sided
    assert [look.reached for look in looks] == [True, True, False]


def test_one_look_alone_has_all_of_the_five_percent():
    [look] = foreseen().sight.looks
    assert (look.n_seeds, look.alpha, look.formality) == (5, pytest.approx(ALPHA), False)


def test_a_first_look_without_a_chance_is_called_a_formality():
    what = foreseen(looking(10, margin=0.01))
    assert [look.formality for look in what.sight.looks] == [True, False, False]
    assert any(
        text.startswith("The look at 3 seeds is a formality: it judges at a level of 0.035%")
        for text in sentences(what)
    )
    close = asking(looking(10), looks=(8, 10))
    assert foreseen(close).sight.looks[0].formality is False


def test_before_the_first_look_nothing_is_decided_and_the_seeds_that_reach_it_are_priced():
    what = foreseen(looking(2))
    assert sentences(what)[0] == (
        "This run decides nothing: nothing is judged before the look at 3 seeds, and it has 2 seeds; --seeds 3 "
        "reaches it, 1.50 hours in all."
    )


def test_a_later_look_that_sees_the_margin_is_named_with_its_price():
    [first, *_] = sentences(foreseen(looking(5, margin=0.01)))
    assert "is found in 11% of sweeps at the look at 5 seeds" in first
    assert first.endswith("the look at 10 seeds finds 1 pt: --seeds 10, 5.00 hours in all.")


def test_adaptive_repeats_are_told_and_cost_at_most_what_all_their_seeds_cost():
    text = printed(foreseen(looking(5, repeats="adaptive")))
    assert row(text, "looks").endswith("an arm that a look decides gets no further seeds")
    assert row(text, "in all, at most").split() == ["0", "10", "2.50"]


# The grid, guards, rare classes.


def test_a_grid_says_what_its_levers_show_over_all_cells_and_what_they_do_not_at_the_margin():
    what = foreseen(crossed(focal_gamma=3, label_smoothing=2, sampler_power=3, n_seeds=3))
    text = printed(what)
    assert row(text, "main effects") == (
        "focal_gamma from 0.58 pt, label_smoothing from 0.47 pt, sampler_power from 0.58 pt, each judged by itself"
    )
    assert row(text, "interactions") == (
        "focal_gamma × label_smoothing from 1.15 pt, focal_gamma × sampler_power from 1.41 pt, "
        "label_smoothing × sampler_power from 1.15 pt, each judged by itself"
    )
    assert sentences(what)[1] == (
        "The grid cannot see at its margin whether focal_gamma and label_smoothing compose (from 1.15 pt on; the "
        "margin takes 11 seeds an arm), whether focal_gamma and sampler_power compose (from 1.41 pt on; the margin "
        "takes 16 seeds an arm) and whether label_smoothing and sampler_power compose (from 1.15 pt on; the margin "
        "takes 11 seeds an arm)."
    )


def test_one_lever_has_no_effects_beside_its_arms_and_a_level_that_is_fixed_none_either():
    for the_plan in (STORY, crossed(focal_gamma=3, label_smoothing=1, n_seeds=3)):
        text = printed(foreseen(the_plan))
        assert "main effects" not in text
        assert "interactions" not in text


def test_a_guard_that_rarely_clears_an_arm_is_told_with_the_chance_of_the_noncentral_t():
    noisy = Known(of_guards={"top1": Variation(run_sd=0.02)})
    calm = Known(of_guards={"top1": Variation(run_sd=0.001)})
    noncentral = stats.nct(4, 0.006 / (0.02 * math.sqrt(2 / 5)))
    chance = noncentral.sf(stats.t.ppf(0.975, 4))
    assert foreseen(TWO_ARMS, known=noisy).sight.guards["top1"] == pytest.approx(chance, abs=1e-9)
    [text] = [text for text in sentences(foreseen(TWO_ARMS, known=noisy)) if "guard" in text]
    assert text.startswith(f"The guard top-1: an arm that costs nothing is shown to in {chance:.0%} of sweeps")
    assert not any("guard" in text for text in sentences(foreseen(TWO_ARMS, known=calm)))


def test_a_class_so_rare_that_one_image_moves_the_metric_by_more_than_the_margin_is_named():
    of_two = Known(test_images={"acne": 1000, "herpes": 20})
    by_recall = foreseen(asking(TWO_ARMS, primary_metric="recall:herpes", margin=0.01), known=of_two)
    assert sentences(by_recall)[-1] == (
        "One of the 20 test images of herpes moves recall of herpes by 5 pt, more than the margin: such images "
        "decide here, whatever the seeds."
    )
    balanced = foreseen(TWO_ARMS, known=of_two)  # the mean of two recalls: half as much
    assert "moves balanced accuracy by 2.5 pt" in sentences(balanced)[-1]
    by_acne = foreseen(asking(TWO_ARMS, primary_metric="recall:acne", margin=0.01), known=of_two)
    assert not any("moves" in text for text in sentences(by_acne))


# With what is done.


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


def test_done_trials_replace_the_assumed_noise_by_theirs_and_their_images_and_a_guards_by_its_own(task):
    write_sweep(task.folder.path, {"baseline": 0.0, "focal_gamma=1": 0.0, "focal_gamma=2": 0.0})
    what = task.forecast(manifests(STORY, 15))
    noise = row(printed(what, width=300), "noise")
    assert re.search(r"run-to-run sd 1\.\d+ pt, seed correlation \S+, measured on 15 runs; ", noise)
    assert re.search(r"sd from images 0\.\d+ pt, measured on 1,512 images$", noise)
    assert what.sight.guards["top1"] != foreseen(done=manifests(STORY, 15)).sight.guards["top1"]


def test_before_a_trial_is_done_or_where_none_can_be_compared_noise_is_assumed(task):
    for done in ({}, manifests(STORY, 1)):
        assert task.forecast(done).sight.variation == ASSUMED
