"""A sweep's two stages as plans: whose trials come first, what may be judged, and whose picks are whose."""

from dataclasses import replace

import pytest
from optuna.distributions import FloatDistribution

from dermtune.config import Config, DataConfig, ModelConfig, TrainingConfig, UserError
from dermtune.firstfile import write_first
from dermtune.firstplan import question_of, without_tuning
from dermtune.integrity.first import first_stage
from dermtune.ledger import SweepFolder
from dermtune.plan import PlanError, Screen, Search, Sweep, plan
from dermtune.recorded import picked as picked_in
from dermtune.recorded import read_recorded
from dermtune.selection import Picked, Selection, Tried
from dermtune.staging import Staging

CONFIG = Config(data=DataConfig(), model=ModelConfig(architecture="siglip"), training=TrainingConfig(epochs=4))
GRID = {"focal_gamma": (0.0, 1.0, 2.0), "label_smoothing": (0.0, 0.1)}
ZERO = {"focal_gamma": 0.0, "label_smoothing": 0.0}
SCREENED = Sweep(name="s", grid=GRID, baseline=ZERO, seeds=range(3), first=Screen(confirm=2, seeds=(1000, 1001)))
SPACE = {"focal_gamma": FloatDistribution(0.0, 5.0)}
SEARCHED = Sweep(
    name="s", baseline={"focal_gamma": 0.0}, seeds=range(3), first=Search(space=SPACE, n_points=9, confirm=2)
)


def staging(sweep, **more):
    return Staging(sweep=sweep, config=CONFIG, recipe="laptop", fingerprints={"data": "abc"}, **more)


def picked(sweep, *, levers=({"focal_gamma": 2.0}, {"focal_gamma": 1.0})):
    """A selection of the sweep's first stage, whatever it tried."""
    stages = staging(sweep).planned()
    points = [(0, sweep.baseline), *((n, {**sweep.baseline, **of}) for n, of in enumerate(levers, start=1))]
    trials = staging(sweep).points() if isinstance(sweep.first, Search) else None
    return Selection(
        stage=stages.first.plan.stage,
        metric="balanced_accuracy",
        objectives=("balanced_accuracy",),
        seeds=stages.first.plan.seeds,
        epochs=4,
        tried=tuple(
            Tried(
                number=n,
                name=f"point-{n}" if n else "baseline",
                levers=of,
                trial_ids=(trials.trial(n, of).trial_id,) if trials else ("a", "b"),
                state="done",
                epochs=4,
                scores={"balanced_accuracy": 0.5},
            )
            for n, of in points
        ),
        picks=tuple(Picked(arm=f"pick-{n}", number=n, levers=of) for n, of in enumerate(levers, start=1)),
        asked=question_of(sweep, stages.first.plan),
    )


def test_a_screening_has_every_arm_with_its_own_seeds_on_the_frozen_backbone():
    first = staging(SCREENED).planned().first.plan
    assert [arm.name for arm in first.arms] == [arm.name for arm in plan_of(replace(SCREENED, first=None)).arms]
    assert {trial.config.levers.tuning for trial in first.trials} == {"head"}
    assert first.seeds == (1000, 1001)
    assert len(first.trials) == 6 * 2
    full = {trial.trial_id for trial in plan_of(replace(SCREENED, first=None, seeds=(1000, 1001))).trials}
    assert not full & {trial.trial_id for trial in first.trials}


def plan_of(sweep):
    return plan(sweep, CONFIG, recipe="laptop", fingerprints={"data": "abc"})


@pytest.mark.parametrize(
    ("lever", "value"), [("tuning", "lora"), ("tuned_blocks", 2), ("lora_rank", 4), ("lora_alpha", 8)]
)
def test_a_screening_refuses_arms_that_say_what_is_trained(lever, value):
    more = {"tuning": {"lora_rank": "lora", "lora_alpha": "lora", "tuned_blocks": "last_k"}.get(lever, "full")}
    default = {"tuning": "full", "tuned_blocks": 1, "lora_rank": 8, "lora_alpha": 16}[lever]
    baseline = {"focal_gamma": 0.0, **more, lever: default}
    sweep = Sweep(name="s", arms={"a": {lever: value}}, baseline=baseline, first=Screen())
    with pytest.raises(PlanError, match=r"a sweep that screens must leave `\w+` alone, .* in arm 'baseline'"):
        staging(sweep).planned()


@pytest.mark.parametrize("own", [{"tuning": "lora", "lora_rank": 4}, {"tuning": "last_k", "tuned_blocks": 3}])
def test_a_recipe_that_tunes_in_its_own_way_is_screened_like_any_and_confirmed_in_that_way(own):
    config = replace(CONFIG, levers=replace(CONFIG.levers, **own))
    stages = replace(staging(SCREENED), config=config).planned()
    assert [t.config for t in stages.first.plan.trials] == [t.config for t in screening().trials]
    assert {getattr(t.config.levers, lever) for t in stages.plan.trials for lever in own} == {*own.values()}
    for levers in (without_tuning(arm.levers) for arm in stages.first.plan.arms):
        assert set(levers) == set(GRID)


def screening():
    return staging(SCREENED).planned().first.plan


def test_until_arms_are_picked_the_second_stage_is_planned_with_as_many_as_there_may_be():
    second = staging(SCREENED).planned().plan
    assert [arm.name for arm in second.arms] == ["baseline", "pick-1", "pick-2"]
    assert len({trial.trial_id for trial in second.trials}) == 3 * 3
    assert second.trials[0] == plan_of(replace(SCREENED, first=None)).trials[0]
    two_arms = replace(SCREENED, grid={"focal_gamma": (0.0, 1.0)}, baseline={"focal_gamma": 0.0})
    assert len(staging(two_arms).planned().plan.arms) == 2  # there is one to find


def test_the_picks_are_the_arms_of_the_second_stage_trained_in_full_with_the_sweeps_own_seeds():
    second = staging(SCREENED, n_seeds=4).planned(selection=picked(SCREENED)).plan
    assert [arm.name for arm in second.arms] == ["baseline", "pick-1", "pick-2"]
    assert [trial.levers["focal_gamma"] for trial in second.trials[:3]] == [0.0, 2.0, 1.0]
    assert {trial.config.levers.tuning for trial in second.trials} == {"full"}
    assert second.seeds == (0, 1, 2, 3)
    assert second.sweep.first is None


def test_further_seeds_that_run_into_those_of_the_first_stage_are_refused():
    sweep = replace(SCREENED, seeds=range(997, 1000))
    with pytest.raises(PlanError, match="the second stage's seeds must be fresh, 1000 is one of the screening's"):
        staging(sweep, n_seeds=4).planned()


def test_what_was_picked_is_taken_for_the_same_question_alone(tmp_path):
    folder = SweepFolder(tmp_path)
    picked(SEARCHED).write(folder.selection)
    found = staging(SEARCHED).found(folder)
    assert found.first.selection == picked(SEARCHED)
    assert [trial.arm for trial in found.first.plan.trials] == ["baseline", "point-1", "point-2"]
    assert [arm.name for arm in found.plan.arms] == ["baseline", "pick-1", "pick-2"]
    first = SEARCHED.first
    for other in (
        replace(SEARCHED, first=replace(first, space={"focal_gamma": FloatDistribution(0.0, 4.0)})),
        replace(SEARCHED, first=replace(first, n_points=12)),
        replace(SEARCHED, first=replace(first, confirm=3)),
        replace(SEARCHED, first=replace(first, with_guards=True)),
        replace(SEARCHED, primary_metric="top1", guard_metrics=()),
        SCREENED,
    ):
        assert staging(other).found(folder).first.selection is None
    for elsewhere in (
        replace(staging(SEARCHED), fingerprints={"data": "other"}),
        replace(staging(SEARCHED), config=replace(CONFIG, training=TrainingConfig(epochs=5))),
    ):
        assert elsewhere.found(folder).first.selection is None
    assert staging(replace(SEARCHED, margin=0.01, seeds=range(5))).found(folder).first.selection is not None


def test_a_sweep_without_a_first_stage_does_not_take_over_the_folder_of_one(tmp_path):
    folder = SweepFolder(tmp_path)
    first = staging(SCREENED).planned().first.plan
    write_first(folder, first, question_of(SCREENED, first), "Why?")
    with pytest.raises(UserError, match=r"must be the folder of a sweep without a first stage, it has one"):
        staging(replace(SCREENED, first=None)).found(folder)


@pytest.mark.parametrize("sweep", [SCREENED, SEARCHED], ids=["screening", "search"])
def test_a_first_stage_comes_back_from_its_folder_with_every_trial_as_it_was(tmp_path, sweep):
    folder = SweepFolder(tmp_path)
    first = staging(sweep).planned().first.plan
    write_first(folder, first, question_of(sweep, first), "Why?")
    recorded = read_recorded(folder)
    assert (recorded.first.trials, recorded.first.stage, recorded.plan) == (first.trials, first.stage, None)
    picked(sweep).write(folder.selection)
    expected = staging(sweep).found(folder)
    folder.write_plan(expected.plan, "Why?")
    recorded = read_recorded(folder)
    assert recorded.first.trials == expected.first.plan.trials
    assert recorded.plan.trials == expected.plan.trials
    assert recorded.question == "Why?"


def test_what_another_question_picked_and_judged_in_the_folder_is_not_this_ones(tmp_path):
    folder = SweepFolder(tmp_path)
    first = staging(SEARCHED).planned().first.plan
    write_first(folder, first, question_of(SEARCHED, first), "Why?")
    picked(SEARCHED).write(folder.selection)
    folder.write_plan(staging(SEARCHED).found(folder).plan, "Why?")
    assert picked_in(folder) == picked(SEARCHED)
    assert first_stage(folder, []).has_picked
    other = replace(SEARCHED, first=replace(SEARCHED.first, n_points=12))
    write_first(folder, first, question_of(other, first), "Why?")  # the other is begun, and killed
    assert picked_in(folder) is None
    assert not first_stage(folder, []).has_picked
    recorded = read_recorded(folder)
    assert (recorded.plan, recorded.first.trials) == (None, first.trials)
