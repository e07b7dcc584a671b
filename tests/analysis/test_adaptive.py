"""At each look arms that are decided stop, whatever else is open goes on, and no error is made of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.adaptive import (
    LEAST_CHANCE,
    Stage,
    Standing,
    chance_of_deciding,
    fate_of,
    fates_of,
    follow,
)
from analysis.comparison import compare
from analysis.looks import look_at
from analysis.records import GuardResult
from analysis.study import SourceError
from tests.analysis.test_divergence import without

LOOKS = (5, 8, 12, 20)


def stage(number, *, arms=("baseline", "a", "b"), looks=LOOKS):
    look, last = (look_at(n, declared=looks, taken=()) for n in (looks[number - 1], looks[-1]))
    seeds = dict.fromkeys(arms, look.n_seeds)
    return Stage(look=look, arms=seeds, judged=arms[1:], n_last=last.n_seeds, alpha_last=last.alpha)


def followed(decided, *, n_complete=lambda arm: LOOKS[-1]):
    """The course of arms a, b and c, each `decided` (or given up) at the look with that number."""

    def judge(at):
        return {arm: fate for arm in at.judged if (fate := decided.get((arm, at.look.number)))}

    return follow(("baseline", "a", "b", "c"), LOOKS, n_complete=n_complete, judge=judge)


# The looks in turn


def test_a_decided_arm_keeps_the_seeds_of_its_look_and_the_baseline_goes_on_with_those_that_are_open():
    course = followed({("a", 1): "decided", ("b", 3): "given up"})
    assert [dict(stage.arms) for stage in course.stages] == [
        {"baseline": 5, "a": 5, "b": 5, "c": 5},
        {"baseline": 8, "a": 5, "b": 8, "c": 8},
        {"baseline": 12, "a": 5, "b": 12, "c": 12},
        {"baseline": 20, "a": 5, "b": 12, "c": 20},
    ]
    assert course.fates == {"a": "decided", "b": "given up", "c": "open"}
    assert {arm: course.look_of(arm).number for arm in "abc"} == {"a": 1, "b": 3, "c": 4}
    assert [stage.judged for stage in course.stages] == [("a", "b", "c"), ("b", "c"), ("b", "c"), ("c",)]


def test_when_all_arms_are_decided_the_baseline_stops_too():
    course = followed({(arm, 2): "decided" for arm in "abc"})
    assert course.n_seeds("baseline") == 8
    assert course.open == ()


def test_a_look_waits_for_the_arms_that_are_open_and_for_no_other():
    course = followed({("a", 1): "decided"}, n_complete=lambda arm: 5 if arm == "a" else 12)
    assert [stage.look.n_seeds for stage in course.stages] == [5, 8, 12]
    assert followed({}, n_complete=lambda arm: 5 if arm == "a" else 12).n_seeds("b") == 5


def test_each_look_has_the_level_that_its_declaration_gives_it():
    levels = [stage.look.alpha for stage in followed({}).stages]
    assert levels == [look_at(n, declared=LOOKS, taken=()).alpha for n in LOOKS]
    assert sum(levels) < 0.06


# What a look makes of an arm


def standing(gain, half, *, v_seed=1e-6, v_images=0.0):
    return Standing(gain=gain, low=gain - half, high=gain + half, v_seed=v_seed, v_images=v_images)


@pytest.mark.parametrize(
    ("gain", "half", "fate"),
    [(0.02, 0.019, "decided"), (-0.02, 0.025, "decided"), (0.0, 0.005, "decided"), (0.003, 0.005, "open")],
)
def test_an_arm_is_decided_where_its_interval_excludes_no_gain_or_a_gain_of_the_margin(gain, half, fate):
    assert fate_of(standing(gain, half, v_seed=1e-5), 0.006, stage(2), 2) == fate


def test_an_arm_that_images_hide_is_given_up_and_not_at_the_last_look():
    hidden = standing(0.003, 0.03, v_seed=1e-6, v_images=1e-4)
    assert fate_of(hidden, 0.006, stage(1), 2) == "given up"
    assert fate_of(hidden, 0.006, stage(4), 2) == "open"


def test_the_chance_of_being_decided_is_that_of_drawn_seeds_to_come():
    at, v_seed, margin, now = stage(2), 2e-6, 0.006, 0.004
    rng, share = np.random.default_rng(0), 8 / 20
    last = now + rng.normal(0, math.sqrt(v_seed * (1 - share)), 200_000)
    half = stats.norm.isf(at.alpha_last / 2) * math.sqrt(v_seed * share)
    drawn = ((last > half) | (last < margin - half)).mean()
    assert chance_of_deciding(standing(now, 1, v_seed=v_seed), margin, at, 1) == pytest.approx(drawn, abs=0.003)


@pytest.fixture
def kept(make_study):
    """A comparison that is kept, whose guard says what a test makes of it."""
    study = make_study(gains=(1.5,), seeds=range(5), sizes=(60, 40, 30))
    (comparison,) = compare(study, quick=True).comparisons
    assert comparison.verdict == "keep"

    def made(low, high, *, diverged=0):
        guard = GuardResult(
            metric="top1", delta=(low + high) / 2, ci_low=low, ci_high=high, margin=0.006, non_inferior=low > -0.006
        )
        return replace(comparison, guards=(guard,), diverged=diverged)

    return made


def fate(comparison, number=1):
    at = replace(stage(number), arms={"baseline": 5, "arm0": 5}, judged=("arm0",))
    return fates_of(at, [comparison], 0.006)["arm0"]


def test_a_kept_arm_whose_guard_holds_is_decided(kept):
    assert fate(kept(-0.005, 0.02)) == "decided"


def test_a_cost_that_is_merely_not_ruled_out_keeps_the_arm_open(kept):
    assert fate(kept(-0.012, 0.012)) == "open"


def test_a_cost_that_is_certain_decides_the_arm(kept):
    assert fate(kept(-0.03, -0.007)) == "decided"


def test_a_cost_that_more_seeds_cannot_settle_decides_the_arm_as_it_stands(kept):
    assert fate(kept(-0.012, 0.012), number=4) == "decided"
    assert fate(kept(-0.03 - 0.006, 0.03 - 0.006), number=3) == "decided"
    assert fate(kept(-0.03 - 0.006, 0.03 - 0.006), number=1) == "open"


def test_an_arm_some_of_whose_runs_diverged_has_its_cost_and_is_decided(kept):
    assert fate(kept(-0.012, 0.012, diverged=1)) == "decided"


def test_the_least_chance_is_small():
    assert 0 < LEAST_CHANCE <= 0.05


# A whole study


@pytest.fixture
def study(make_study):
    drawn = make_study(gains=(0.03, 0.0, 4.0), seeds=range(8), sizes=(60, 40, 30), guards=(), noise=0.8)
    question = replace(drawn.question, seeds=tuple(range(8)), looks=(3, 5, 8))
    return replace(drawn, question=question)


def adaptive(study):
    return replace(study, question=replace(study.question, repeats="adaptive"))


def plain(comparison):
    return replace(comparison, look=None)


def test_where_no_look_decides_anything_the_report_is_that_of_fixed_repeats(make_study):
    drawn = make_study(gains=(0.03, 0.0), seeds=range(5), sizes=(60, 40, 30), noise=1.5, margin=0.02)
    fixed = replace(drawn, question=replace(drawn.question, seeds=tuple(range(5)), looks=(3, 5)))
    report = compare(adaptive(fixed))
    assert report.repeats.open == ("arm0", "arm1")
    assert replace(report, repeats=None, comparisons=tuple(map(plain, report.comparisons))) == compare(fixed)


def test_a_decided_arm_is_judged_as_it_was_at_its_look_and_an_open_one_with_all_its_seeds(study):
    report = compare(adaptive(study), quick=True)
    by_arm = {c.arm: c for c in report.comparisons}
    assert {arm.arm: (arm.fate, arm.n_seeds, arm.unused) for arm in report.repeats.arms} == {
        "baseline": ("open", 8, 0), "arm0": ("open", 8, 0), "arm1": ("open", 8, 0), "arm2": ("decided", 3, 5),
    }  # fmt: skip
    first = replace(study, question=replace(study.question, seeds=(0, 1, 2)))
    (*_, at_first) = compare(first, quick=True).comparisons
    assert plain(by_arm["arm2"]) == at_first
    assert by_arm["arm0"].seeds == tuple(range(8))
    assert by_arm["arm2"].look.alpha == pytest.approx(1 - report.level_of(by_arm["arm2"]))
    assert report.verdicts_level is None


def test_another_metric_is_judged_on_the_seeds_that_the_sweeps_own_question_gave_each_arm(study):
    report = compare(adaptive(study), metric="top1", quick=True)
    assert {c.arm: len(c.seeds) for c in report.comparisons} == {"arm0": 8, "arm1": 8, "arm2": 3}


def test_the_whole_report_is_made_of_arms_with_unequal_seeds(study):
    report = compare(adaptive(study))
    assert [arm.n_seeds for arm in report.arms] == [8, 8, 8, 3]
    assert report.tail is not None
    assert {arm.arm for arm in report.label_noise.arms} == {"arm0", "arm1", "arm2"}


def fates(report):
    return {arm.arm: (arm.fate, arm.n_seeds, arm.look) for arm in report.repeats.arms}


def test_a_look_that_nobody_declared_is_counted_in_levels_and_not_among_the_looks_of_the_arms(study):
    seen = replace(study, question=replace(study.question, looks_taken=(2,)))
    report = compare(adaptive(seen), metric="top1", quick=True)
    assert {c.arm: (len(c.seeds), c.look.number) for c in report.comparisons} == {
        "arm0": (8, 4), "arm1": (8, 4), "arm2": (3, 2),
    }  # fmt: skip
    assert report.repeats.reached == 3
    assert fates(report) == {
        "baseline": ("open", 8, 3), "arm0": ("open", 8, 3), "arm1": ("open", 8, 3), "arm2": ("decided", 3, 1),
    }  # fmt: skip


def test_an_arm_that_diverges_with_every_seed_of_a_look_is_given_up_and_one_that_fails_is_tried_again(study):
    gone = fates(compare(adaptive(without(study, "arm1", range(8))), quick=True))
    assert gone["arm1"] == ("given up", 3, 1)
    assert gone["arm0"] == ("open", 8, 3)
    failed = fates(compare(adaptive(without(study, "arm1", range(8), state="failed")), quick=True))
    assert failed["arm1"] == ("open", 8, 3)


def test_where_the_sweeps_baseline_was_never_trained_others_are_compared_as_with_fixed_repeats(study):
    lost = without(study, "baseline", range(8), state="failed")
    report = compare(adaptive(lost), baseline="arm0", quick=True)
    fixed = compare(lost, baseline="arm0", quick=True)
    assert report.comparisons == fixed.comparisons
    assert report.repeats is None
    assert report.problems[0].startswith("no arm stopped: baseline, the sweep's baseline, has no finished run")
    with pytest.raises(SourceError, match="the baseline must have a finished run"):
        compare(adaptive(lost), quick=True)


def test_seeds_that_are_there_and_not_used_are_not_spared(study):
    spared = {arm.arm: (arm.spared, arm.unused) for arm in compare(adaptive(study), quick=True).repeats.arms}
    assert spared["arm2"] == (0, 5)
    fewer = without(study, "arm2", (5, 6, 7), state="missing")
    spared = {arm.arm: (arm.spared, arm.unused) for arm in compare(adaptive(fewer), quick=True).repeats.arms}
    assert spared["arm2"] == (3, 2)
