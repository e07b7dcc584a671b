"""A point of a search is a trial; a space that could not be trained or scored is refused before anything starts."""

from dataclasses import replace

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from dermtune.config import ConfigError
from dermtune.plan import PlanError, Search, Sweep
from tests.searches import EPOCHS, SPACE, searched


def test_point_0_is_the_baseline_and_every_other_changes_it():
    points = searched(space=SPACE, baseline={**dict.fromkeys(SPACE, 0.0), "sampler_power": 0.5})
    baseline, third = points.baseline, points.trial(3, {"focal_gamma": 2.5, "label_smoothing": 0.1})
    assert (baseline.arm, third.arm) == ("baseline", "point-3")
    assert third.levers == {"focal_gamma": 2.5, "label_smoothing": 0.1, "sampler_power": 0.5}
    assert third.config.levers == replace(baseline.config.levers, focal_gamma=2.5, label_smoothing=0.1)
    assert baseline.seed == third.seed == 1000


def test_points_with_equal_config_are_one_trial_whatever_their_number():
    points = searched()
    assert points.trial(7, {"focal_gamma": 0.0}).trial_id == points.baseline.trial_id
    assert points.trial(7, {"focal_gamma": 1.0}).trial_id == points.trial(9, {"focal_gamma": 1.0}).trial_id


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"label_smoothing": FloatDistribution(0, 1)}, r"in \[0, 1\), got 1.0 at label_smoothing=1.0 in the space"),
        ({"focal_gamma": FloatDistribution(-1, 5)}, "got -1.0 at focal_gamma=-1.0 in the space"),
        ({"lora_rank": IntDistribution(0, 8)}, "`lora_rank` must be >= 1, got 0 at lora_rank=0"),
        ({"focal_form": CategoricalDistribution(["soft", "hard"])}, "got 'hard' at focal_form='hard'"),
        (
            {"ldam": FloatDistribution(0, 0.5), "focal_gamma": FloatDistribution(0, 2)},
            "`ldam` or `focal_gamma` must be 0.*at ldam=0.5, focal_gamma=2.0 in the space",
        ),
    ],
)
def test_an_end_of_the_space_that_cannot_be_trained_is_refused_with_lever_and_value(space, said):
    baseline = {"focal_form": "soft", "lora_rank": 8}
    with pytest.raises(ConfigError, match=said) as refusal:
        searched(space=space, baseline={lever: baseline.get(lever, 0.0) for lever in space})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("values", "start"),
    [
        (FloatDistribution(0.5, 5), 0.0),
        (FloatDistribution(0, 5, step=0.5), 0.3),
        (IntDistribution(1, 5), "two"),
        (CategoricalDistribution([1.0, 2.0]), 0.0),
    ],
)
def test_a_baseline_outside_the_space_is_refused(values, start):
    with pytest.raises(PlanError, match=f"the baseline must be a point of the space: `focal_gamma` = {start!r} is"):
        searched(space={"focal_gamma": values}, baseline={"focal_gamma": start})


@pytest.mark.parametrize("how", [{"metric": "recall:nevus"}, {"guards": ("recall:nevus",), "with_guards": True}])
def test_a_metric_that_no_epoch_scores_is_refused_in_a_line(how):
    with pytest.raises(
        PlanError, match=r"must seek what each epoch scores on val, one of top1.*got 'recall:nevus'"
    ):
        searched(**how)


def test_a_guard_that_is_not_sought_may_be_any_metric():
    assert searched(guards=("recall:nevus",)).objectives == ("balanced_accuracy",)
    assert searched(with_guards=True).objectives == ("balanced_accuracy", "top1")


def test_a_sweep_that_does_not_search_has_no_points():
    points = searched()
    grid = Sweep(name="grid", grid={"focal_gamma": (0.0, 1.0)}, baseline={"focal_gamma": 0.0})
    with pytest.raises(PlanError, match="must have a `Search` first, got None"):
        replace(points, sweep=grid)


def test_the_corners_have_every_end_and_every_two_of_them():
    corners = searched().corners
    assert len(corners) == 4 + 4
    assert corners["focal_gamma=5.0, label_smoothing=0.5"].levers.label_smoothing == 0.5
    assert corners["focal_gamma=5.0"].training.epochs == EPOCHS
    assert isinstance(searched().search, Search)
