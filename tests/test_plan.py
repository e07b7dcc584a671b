"""A sweep becomes trials: names, order, pairing, identity, and what is refused."""

from dataclasses import replace

import pytest

from dermtune.config import Config, ConfigError, DataConfig, Levers, ModelConfig, TrainingConfig
from dermtune.plan import BASELINE, Plan, PlanError, Sweep, plan

CONFIG = Config(
    data=DataConfig(), model=ModelConfig(architecture="resnet", settings={"depths": [1]}), training=TrainingConfig()
)
GRID = Sweep(
    name="grid",
    grid={"focal_gamma": (0.0, 2.0), "label_smoothing": (0.0, 0.1)},
    baseline={"focal_gamma": 0.0, "label_smoothing": 0.0},
    seeds=(3, 1, 7),
)


def planned(sweep: Sweep = GRID, config: Config = CONFIG, n_seeds: int | None = None, data: str = "d"):
    return plan(sweep, config, recipe="r", fingerprints={"data": data}, n_seeds=n_seeds)


def test_arms_are_every_cell_named_by_what_sets_them_apart_with_the_baseline_first():
    assert [arm.name for arm in planned().arms] == [
        BASELINE,
        "label_smoothing=0.1",
        "focal_gamma=2",
        "focal_gamma=2+label_smoothing=0.1",
    ]


@pytest.mark.parametrize("n_seeds", [1, 2, 3, 5])
def test_every_prefix_of_whole_blocks_gives_all_arms_the_same_seeds(n_seeds):
    trials = planned(n_seeds=n_seeds).trials
    for block in range(n_seeds):
        prefix = trials[: 4 * (block + 1)]
        seeds_of = {arm: [t.seed for t in prefix if t.arm == arm] for arm in {t.arm for t in prefix}}
        assert len({tuple(seeds) for seeds in seeds_of.values()}) == 1


def test_more_seeds_than_declared_go_on_from_the_largest_and_keep_the_first():
    assert planned(n_seeds=5).seeds == (3, 1, 7, 8, 9)
    assert planned().trials == planned(n_seeds=5).trials[:12]


def test_the_identity_changes_with_seed_lever_recipe_and_data_and_with_nothing_else():
    base = planned().trials[0]
    other_sweep = replace(GRID, name="other", margin=0.01, seeds=(3,))
    assert planned(other_sweep).trials[0].trial_id == base.trial_id
    different = {
        planned(n_seeds=5).trials[-1].trial_id,
        planned().trials[1].trial_id,
        planned(data="e").trials[0].trial_id,
        planned(config=replace(CONFIG, training=TrainingConfig(epochs=3))).trials[0].trial_id,
    }
    assert len(different | {base.trial_id}) == 5


def test_a_local_checkpoint_is_known_by_its_bytes_not_by_its_path():
    ids = set()
    for folder in ("/here/weights", "/there/weights"):
        config = replace(CONFIG, model=ModelConfig(checkpoint=folder))
        trial = plan(GRID, config, recipe="r", fingerprints={"data": "d", "checkpoint": "abc"}).trials[0]
        ids.add(trial.trial_id)
    assert len(ids) == 1


def test_the_identity_is_frozen_so_that_finished_trials_stay_finished():
    # Were this value to change, every finished trial of every user would be trained again.
    assert planned().trials[0].trial_id == "ae49cd1577c96b18"


def test_a_lever_at_its_default_is_not_part_of_the_identity():
    assert CONFIG.with_levers({"focal_form": "soft"}).departures() == CONFIG.departures()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"focal_gama": (0, 1)}}, "unknown lever 'focal_gama'"),
        ({"grid": {"focal_gamma": ()}}, "must be a sequence of values"),
        ({"grid": {"focal_gamma": "01"}}, "must be a sequence of values"),
        ({"grid": {"focal_gamma": (0.0, 0.0)}}, "must have distinct values"),
        ({"baseline": {"focal_gamma": 5.0, "label_smoothing": 0.0}}, "baseline must be a cell of the grid"),
        ({"baseline": {"focal_gamma": 0.0}}, "`label_smoothing` is missing"),
        ({"seeds": ()}, "at least one"),
        ({"seeds": (1, 1)}, "distinct"),
        ({"looks": 3}, "`looks` must be a sequence of numbers of seeds, got 3"),
        ({"looks": "35"}, "`looks` must be a sequence of numbers of seeds, got '35'"),
        ({"looks": (1, 5)}, "a look must be at a whole number of seeds, 2 or more, got 1"),
        ({"looks": (3, 5.0)}, r"a look must be at a whole number of seeds, 2 or more, got 5\.0"),
        ({"looks": (5, 3)}, r"`looks` must be ascending and distinct, got \[5, 3\]"),
        ({"looks": (3, 3)}, r"`looks` must be ascending and distinct, got \[3, 3\]"),
        ({"margin": -0.1}, "`margin` must be >= 0"),
        ({"margin": float("nan")}, "`margin` must be >= 0"),
        ({"name": "../x"}, "letters, digits and _"),
    ],
)
def test_a_sweep_that_cannot_be_planned_says_why(changes, message):
    with pytest.raises(PlanError, match=message):
        replace(GRID, **changes)


def test_declared_looks_are_part_of_what_was_asked_and_of_no_trial():
    looked = replace(GRID, looks=(3, 5, 10))
    assert planned(looked, n_seeds=12).to_dict()["looks"] == [3, 5, 10]
    assert planned().to_dict()["looks"] == []
    assert planned(looked).trials == planned().trials


def test_a_value_that_a_lever_refuses_names_the_lever_the_value_and_the_arm():
    sweep = Sweep(name="x", grid={"focal_gamma": (0.0, -1.0)}, baseline={"focal_gamma": 0.0})
    with pytest.raises(ConfigError, match=r"`focal_gamma` must be >= 0, got -1\.0 in arm 'focal_gamma=-1'"):
        planned(sweep)


@pytest.mark.parametrize(
    "bad",
    [
        {"focal_gamma": float("nan")},
        {"focal_gamma": "2"},
        {"focal_gamma": True},
        {"label_smoothing": 1.0},
        {"sampler_power": 1.5},
        {"logit_adjustment": -1},
        {"focal_form": "hard"},
    ],
)
def test_levers_refuse_what_cannot_be_trained(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Levers(**bad)


def test_a_model_has_either_an_architecture_or_a_checkpoint():
    with pytest.raises(ConfigError, match="either `architecture` or `checkpoint`"):
        ModelConfig()
    with pytest.raises(ConfigError, match="either `architecture` or `checkpoint`"):
        ModelConfig(architecture="resnet", checkpoint="x")


def test_one_guard_metric_without_its_comma_is_told_apart_from_a_sequence_of_letters():
    with pytest.raises(PlanError, match="`guard_metrics` must be a sequence of names, got 'top1'"):
        replace(GRID, guard_metrics="top1")


NAMED = Sweep(
    name="named",
    arms={"focal": {"focal_gamma": 2.0}, "smooth-focal": {"focal_gamma": 2.0, "label_smoothing": 0.1}},
    baseline={"focal_gamma": 0.0, "label_smoothing": 0.0},
    seeds=(0, 1),
)


def test_arms_that_make_no_grid_have_the_names_they_were_given_and_a_value_for_every_lever():
    arms = planned(NAMED).arms
    assert [arm.name for arm in arms] == ["baseline", "focal", "smooth-focal"]
    assert arms[1].levers == {"focal_gamma": 2.0, "label_smoothing": 0.0}


def test_the_same_configuration_is_the_same_trial_in_a_grid_and_by_name():
    grid = Sweep(name="grid", grid={"focal_gamma": (0.0, 2.0)}, baseline={"focal_gamma": 0.0}, seeds=(0, 1))
    by_grid = {t.trial_id for t in planned(grid).trials}
    assert by_grid < {t.trial_id for t in planned(NAMED).trials}


def test_named_arms_come_back_from_what_the_sweep_wrote():
    asked = planned(NAMED)
    read = Plan.from_dict(asked.to_dict())
    assert (read.arms, read.trials, read.to_dict()) == (asked.arms, asked.trials, asked.to_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"focal_gamma": (0.0,)}}, "either a `grid` or `arms`, got both"),
        ({"arms": {"baseline": {"focal_gamma": 1.0}}}, "an arm's name must be .* and not 'baseline'"),
        ({"arms": {"a b": {"focal_gamma": 1.0}}}, "an arm's name must be letters, digits and _ - = "),
        ({"arms": {"x": {"focal": 1.0}}}, "unknown lever 'focal' in arm 'x'"),
        ({"arms": {"x": {"sampler_power": 1.0}}}, "`sampler_power` of 'x' is missing"),
        ({"arms": {"x": {"focal_gamma": 0}}}, "arms must differ, 'x' is the same as 'baseline'"),
        ({"arms": {"x": {"focal_gamma": 1}, "y": {"focal_gamma": 1.0}}}, "'y' is the same as 'x'"),
        ({"baseline": {"focal": 0.0}}, "unknown lever 'focal' in the baseline"),
    ],
)
def test_named_arms_that_cannot_be_told_apart_or_trained_are_refused(changes, message):
    with pytest.raises(PlanError, match=message):
        replace(NAMED, **changes)
