"""Main effects and interactions of a grid: what they average, what they say, and where there are none."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.effects import crossing, effects_of, grid_of
from analysis.planning import interaction, main_effect
from analysis.study import Arm
from tests.analysis.grids import (
    FOUR_BY_TWO,
    GAMMA,
    SAMPLER,
    SMOOTHING,
    THREE_LEVERS,
    TWO_BY_TWO,
    cells,
    crossed,
    design_of,
    effects,
    estimates_of,
    name_of,
    without,
)
from tests.effort import growth


def squares(study, levels):
    return sum(c**2 for c in crossing(grid_of(design_of(study)), levels).coefficients.values())


def test_the_weights_of_a_two_by_two_grid_are_those_of_the_textbook():
    grid = grid_of(design_of(crossed(TWO_BY_TWO)))
    assert crossing(grid, {GAMMA: 2.0}).coefficients == {
        "focal_gamma=2": 1 / 2,
        "baseline": -1 / 2,
        "focal_gamma=2+label_smoothing=0.1": 1 / 2,
        "label_smoothing=0.1": -1 / 2,
    }
    assert crossing(grid, {GAMMA: 2.0, SMOOTHING: 0.1}).coefficients == {
        "focal_gamma=2+label_smoothing=0.1": 1,
        "focal_gamma=2": -1,
        "label_smoothing=0.1": -1,
        "baseline": 1,
    }


def test_the_weights_of_three_levers_average_over_all_settings_of_the_others():
    grid = grid_of(design_of(crossed(THREE_LEVERS, n_seeds=2)))
    assert crossing(grid, {GAMMA: 1.0}).coefficients == {
        "focal_gamma=1": 1 / 4,
        "baseline": -1 / 4,
        "focal_gamma=1+sampler_power=1": 1 / 4,
        "sampler_power=1": -1 / 4,
        "focal_gamma=1+label_smoothing=0.1": 1 / 4,
        "label_smoothing=0.1": -1 / 4,
        "focal_gamma=1+label_smoothing=0.1+sampler_power=1": 1 / 4,
        "label_smoothing=0.1+sampler_power=1": -1 / 4,
    }
    assert crossing(grid, {SMOOTHING: 0.1, SAMPLER: 1.0}).coefficients == {
        "label_smoothing=0.1+sampler_power=1": 1 / 3,
        "label_smoothing=0.1": -1 / 3,
        "sampler_power=1": -1 / 3,
        "baseline": 1 / 3,
        "focal_gamma=1+label_smoothing=0.1+sampler_power=1": 1 / 3,
        "focal_gamma=1+label_smoothing=0.1": -1 / 3,
        "focal_gamma=1+sampler_power=1": -1 / 3,
        "focal_gamma=1": 1 / 3,
        "focal_gamma=2+label_smoothing=0.1+sampler_power=1": 1 / 3,
        "focal_gamma=2+label_smoothing=0.1": -1 / 3,
        "focal_gamma=2+sampler_power=1": -1 / 3,
        "focal_gamma=2": 1 / 3,
    }


def test_every_main_effect_and_every_pair_of_levels_is_there_once():
    kinds = {effect.name: (effect.kind, effect.n_cells) for effect in effects(crossed(THREE_LEVERS)).values()}
    assert kinds == {
        "focal_gamma=1": ("main", 4),
        "focal_gamma=2": ("main", 4),
        "label_smoothing=0.1": ("main", 6),
        "sampler_power=1": ("main", 6),
        "focal_gamma=1 × label_smoothing=0.1": ("interaction", 2),
        "focal_gamma=2 × label_smoothing=0.1": ("interaction", 2),
        "focal_gamma=1 × sampler_power=1": ("interaction", 2),
        "focal_gamma=2 × sampler_power=1": ("interaction", 2),
        "label_smoothing=0.1 × sampler_power=1": ("interaction", 3),
    }


def test_together_and_apart_are_mean_deltas_and_miss_each_other_by_the_interaction():
    study = crossed(THREE_LEVERS)
    scores = {arm.name: np.mean([recall(run) for run in arm.runs]) for arm in study.arms}
    found = effects(study)["focal_gamma=2 × label_smoothing=0.1"]
    one = [scores["focal_gamma=2"] - scores["baseline"]]
    one += [scores["focal_gamma=2+sampler_power=1"] - scores["sampler_power=1"]]
    assert found.together.apart[0] == pytest.approx(np.mean(one))
    assert found.together.both - sum(found.together.apart) == pytest.approx(found.estimate)


def recall(run):
    """Balanced accuracy, class by class."""
    seen = run.outcome
    return np.mean([seen.right[seen.label == k].mean() for k in range(seen.n_classes)])


def test_main_effects_pool_all_cells_and_so_are_known_better_than_any_arm():
    estimates = estimates_of(crossed(FOUR_BY_TWO, rng_seed=1), estimand="seeds")
    alone = estimates.delta("label_smoothing=0.1").total("seeds")
    main = {found.name: found for found in effects_of(estimates)}["label_smoothing=0.1"]
    assert main.se == pytest.approx(math.sqrt(alone.variance / 4))


def test_the_sums_of_squares_are_those_that_planning_counts_with():
    levels = {GAMMA: (0.0, 1.0, 2.0), SMOOTHING: (0.0, 0.1), SAMPLER: (0.0, 0.5, 1.0)}
    study, counts = crossed(levels, n_seeds=1, sizes=(2, 2)), (3, 2, 3)
    assert squares(study, {SMOOTHING: 0.1}) == pytest.approx(main_effect(counts, 1).squares)
    assert squares(study, {GAMMA: 2.0}) == pytest.approx(main_effect(counts, 0).squares)
    assert squares(study, {GAMMA: 2.0, SMOOTHING: 0.1}) == pytest.approx(interaction(counts, 0, 1).squares)
    assert squares(study, {GAMMA: 1.0, SAMPLER: 0.5}) == pytest.approx(interaction(counts, 0, 2).squares)


@pytest.mark.parametrize(("levels", "points"), [({SMOOTHING: 0.1}, 0.47), ({GAMMA: 2.0}, 0.58)])
def test_eighteen_cells_with_three_seeds_detect_the_effects_that_the_design_promises(levels, points):
    """At 80% power and a run-to-run standard deviation of .6 points, by the noncentral t distribution."""
    grid = {GAMMA: (0.0, 1.0, 2.0), SMOOTHING: (0.0, 0.1), SAMPLER: (0.0, 0.5, 1.0)}
    se, df = math.sqrt(squares(crossed(grid, n_seeds=1, sizes=(2, 2)), levels) / 3) * 0.6, 17 * 2
    power = 1 - stats.nct.cdf(stats.t.ppf(0.975, df), df, points / se)
    assert power == pytest.approx(0.8, abs=0.01)


def test_the_order_of_the_arms_changes_no_effect():
    study = crossed(FOUR_BY_TWO)
    forth, back = effects(study), effects(replace(study, arms=study.arms[::-1]))
    assert forth.keys() == back.keys()
    for name, a in forth.items():
        b = back[name]
        numbers = [
            (e.estimate, e.se, e.ci_low, e.ci_high, e.ci_low_simultaneous, e.p_value, e.p_adjusted) for e in (a, b)
        ]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-5, abs=1e-12)
        assert a.sentence == b.sentence


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_cells_with_identical_predictions_have_effects_of_exactly_nought(metric):
    study = crossed(THREE_LEVERS)
    same = replace(study, arms=tuple(replace(arm, runs=study.arms[0].runs) for arm in study.arms))
    for found in effects(same, metric).values():
        assert (found.estimate, found.se, found.ci_low, found.ci_high, found.p_value) == (0, 0, 0, 0, 1)
        assert found.together is None or (found.together.label, found.together.both) == ("compose", 0)


def test_a_grid_with_a_hole_averages_over_what_is_there_and_says_so():
    found = effects(without(crossed(FOUR_BY_TWO), "focal_gamma=3+label_smoothing=0.1"))
    assert "focal_gamma=3" not in found  # seen at one setting alone: an arm's delta
    assert "focal_gamma=3 × label_smoothing=0.1" not in found
    smoothing = found["label_smoothing=0.1"]
    assert (smoothing.n_cells, smoothing.of_cells) == (3, 4)
    assert smoothing.sentence.endswith(", the mean over 3 of 4 settings of focal_gamma.")
    assert found["focal_gamma=2"].sentence.endswith(", the mean over 2 settings of label_smoothing.")


def test_a_cell_that_was_asked_for_and_never_came_is_counted_as_missing():
    study = without(crossed(FOUR_BY_TWO), "focal_gamma=3", "focal_gamma=3+label_smoothing=0.1")
    assert effects(study)["label_smoothing=0.1"].of_cells == 4


def test_a_main_effect_says_estimate_interval_and_cells():
    found = effects(crossed(FOUR_BY_TWO))["focal_gamma=2"]
    points = [f"{100 * x:+.2f}".replace("-", "−") for x in (found.estimate, *simultaneous(found))]
    assert found.sentence == (
        "focal_gamma=2 instead of 0: {} pt ({} to {} pt), the mean over 2 settings of label_smoothing.".format(
            *points
        )
    )


def simultaneous(effect):
    return effect.ci_low_simultaneous, effect.ci_high_simultaneous


def test_families_are_held_at_once_and_apart_from_each_other():
    found = effects(crossed(FOUR_BY_TWO)).values()
    for kind in ("main", "interaction"):
        family = [effect for effect in found if effect.kind == kind]
        widths = [(e.ci_high_simultaneous - e.ci_low_simultaneous) / (e.ci_high - e.ci_low) for e in family]
        assert min(widths) == pytest.approx(max(widths))
        assert min(widths) > 1
        assert all(e.p_value <= e.p_adjusted <= e.p_holm + 0.01 for e in family)


def test_an_effect_of_arms_with_fewer_seeds_is_paired_as_far_as_they_share_them():
    study = crossed(TWO_BY_TWO)
    short = replace(study.arms[3], runs=study.arms[3].runs[:2])
    estimates = estimates_of(replace(study, arms=(*study.arms[:3], short)), estimand="seeds")
    found, noise = effects_of(estimates)[-1], estimates.noise
    alone = (1 / 2 - 1 / 4) ** 2 * 2 + (1 / 4) ** 2 * 2  # weights of a seed that do not cancel: 1/2 - 1/4, or -1/4
    shift = max(0.0, noise.within.variance - noise.blocks.variance)
    assert found.se**2 == pytest.approx(noise.blocks.variance * (1 / 2 + 3 / 4) + shift * alone)


def test_another_baseline_makes_its_levels_the_reference():
    found = effects(crossed(TWO_BY_TWO), baseline="focal_gamma=2")
    assert list(found) == ["focal_gamma=0", "label_smoothing=0.1", "focal_gamma=0 × label_smoothing=0.1"]
    assert found["focal_gamma=0"].references == {GAMMA: 2.0}
    forth = effects(crossed(TWO_BY_TWO))["focal_gamma=2 × label_smoothing=0.1"]
    assert found["focal_gamma=0 × label_smoothing=0.1"].estimate == pytest.approx(-forth.estimate)


def test_one_run_of_each_arm_gives_effects_that_own_up_to_assumed_noise():
    for found in effects(crossed(TWO_BY_TWO, n_seeds=1)).values():
        assert "assumed run-to-run noise" in found.sentence


@pytest.mark.parametrize(
    "study",
    [
        crossed({GAMMA: (0.0, 1.0, 2.0)}),
        without(crossed(TWO_BY_TWO), "focal_gamma=2+label_smoothing=0.1"),
        without(crossed(TWO_BY_TWO), *(name_of(levers) for levers in cells(TWO_BY_TWO)[1:])),
        replace(crossed(TWO_BY_TWO), arms=tuple(replace(a, levers={}) for a in crossed(TWO_BY_TWO).arms)),
    ],
    ids=["one lever", "no pair is whole", "a baseline alone", "arms without levers"],
)
def test_where_levers_are_not_crossed_there_is_no_effect(study):
    assert effects(study) == {}


def scattered(n):
    """Arms as a search leaves them: four levers, and in each a level of the arm's own."""
    study = crossed(TWO_BY_TWO, n_seeds=2)
    runs, levers = study.arms[0].runs, ("a", "b", "c", "d")
    arms = [Arm(name=f"arm{i}" if i else "baseline", levers=dict.fromkeys(levers, i), runs=runs) for i in range(n)]
    asked = replace(study.question, arms={arm.name: arm.levers for arm in arms})
    return replace(study, question=asked, arms=tuple(arms))


def test_arms_that_make_no_grid_cost_no_look_at_the_settings_that_they_do_not_have():
    assert effects(scattered(5)) == {}

    def looking(n):
        estimates = estimates_of(scattered(n), n_resamples=100)
        return lambda: effects_of(estimates)

    assert growth(looking, 10, 30) < 3 * 1.1, "pairs of arms at most, not all settings of their levels"
