import math
from dataclasses import replace

import pytest

from analysis.noise import SeedPart, Term
from analysis.records import GuardResult
from analysis.variance import Contrast, Interval
from analysis.verdicts import Evidence, judge


def evidence(delta, half, *, metric="balanced_accuracy", higher=True, half_90=None, seeds=5, img=0.0, **options):
    """A delta whose seeds' variance is what its interval says, over images that vary by `img`."""
    v_seed = (half / 2.776) ** 2
    assumed = options.pop("assumed", False)
    estimate = "assumed" if assumed else "arm"
    c = Contrast(
        name="arm",
        coefficients={"arm": 1.0, "baseline": -1.0},
        delta=delta,
        parts=(SeedPart(key="arm", scale=math.sqrt(v_seed), df=seeds - 1, estimate=estimate),),
        seed=Term(variance=v_seed, df=seeds - 1),
        img=Term(variance=img, df=100),
        res=Term(variance=0.0, df=math.inf),
        n_seeds=seeds,
        most_seeds=seeds,
        n_effective=float(seeds),
        res_of_one=0.0,
    )
    half_90 = 0.77 * half if half_90 is None else half_90
    return Evidence(
        metric=metric,
        higher_is_better=higher,
        delta=delta,
        interval=Interval(low=delta - half, high=delta + half),
        interval_90=Interval(low=delta - half_90, high=delta + half_90),
        margin=0.006,
        guards=options.pop("guards", ()),
        contrast=c,
        estimand=options.pop("estimand", "both"),
        level=0.95,
        widening=1.0,
    )


CASES = {
    "practical": (
        evidence(0.0168, 0.006),
        "keep",
        "practical",
        "+1.7 pt; the interval, +1.08 to +2.28 pt, lies wholly beyond the margin of 0.6 pt.",
    ),
    "small": (
        evidence(0.003, 0.002),
        "keep",
        "small",
        "+0.3 pt; the interval, +0.10 to +0.50 pt, lies above 0 but does not reach the margin of 0.6 pt.",
    ),
    "keep": (
        evidence(0.0071, 0.0041),
        "keep",
        "",
        "+0.7 pt; the interval, +0.30 to +1.12 pt, lies above 0; whether it exceeds the margin of 0.6 pt is open.",
    ),
    "worse": (
        evidence(-0.0146, 0.007),
        "reject",
        "worse",
        "−1.5 pt; the interval, −2.16 to −0.76 pt, lies below 0.",
    ),
    "equivalent": (
        evidence(0.0005, 0.005, half_90=0.0038),
        "reject",
        "equivalent",
        "+0.1 pt; the 90% interval, −0.33 to +0.43 pt, lies within 0.6 pt either way.",
    ),
    "reject": (
        evidence(-0.003, 0.007),
        "reject",
        "",
        "−0.3 pt; "
        "the interval, −1.00 to +0.40 pt, does not reach the margin of 0.6 pt: the gain cannot be worth having.",
    ),
    "lower is better": (
        evidence(-0.02, 0.006, metric="ece", higher=False),
        "keep",
        "practical",
        "−2.0 pt; the interval, −2.60 to −1.40 pt, lies wholly beyond the margin of 0.6 pt.",
    ),
    "nll": (
        evidence(0.02, 0.006, metric="nll", higher=False),
        "reject",
        "worse",
        "+0.020; the interval, +0.0140 to +0.0260, lies above 0.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_verdict_says_its_own_numbers(case):
    given, verdict, label, reason = CASES[case]
    judged = judge(given)
    assert (judged.verdict, judged.label, judged.reason, judged.seeds_needed) == (verdict, label, reason, None)


def test_at_a_look_the_two_one_sided_tests_have_the_looks_level_and_not_five_percent_each():
    given, *_ = CASES["equivalent"]
    assert "; the 98% interval, −0.33 to +0.43 pt, lies within" in judge(replace(given, level=0.99)).reason


def test_where_arms_have_unlike_many_seeds_only_more_than_the_most_would_decide_it():
    given = evidence(0.0113, 0.020)
    uneven = replace(given, contrast=replace(given.contrast, most_seeds=20))
    assert judge(given).seeds_needed == 11
    assert judge(uneven).seeds_needed == 21


def test_an_undecided_delta_says_how_many_seeds_would_decide_it():
    given = evidence(0.0113, 0.020)
    judged = judge(given)
    assert judged.verdict == "inconclusive"
    assert judged.reason == (
        "+1.1 pt; the interval, −0.87 to +3.13 pt, holds both no gain and a gain of 0.6 pt; "
        f"at this delta {judged.seeds_needed} seeds an arm would decide it."
    )
    # t at R - 1 degrees of freedom times sqrt(v / R) first falls below the delta at 10 seeds: 2.262 x .509 points.
    single = 5 * (0.020 / 2.776) ** 2
    assert judged.seeds_needed == 11
    assert 2.228 * math.sqrt(single / 11) < 0.0113 < 2.262 * math.sqrt(single / 10)


def test_where_the_images_limit_the_interval_no_number_of_seeds_is_promised():
    judged = judge(evidence(0.0113, 0.020, img=0.01**2))
    assert judged.seeds_needed is None
    assert "more seeds cannot decide it: the test set's rare classes limit the interval" in judged.reason


def test_of_a_metric_that_weighs_images_alike_it_is_all_images_that_limit_it():
    judged = judge(evidence(0.0113, 0.020, img=0.01**2, metric="top1"))
    assert "more seeds cannot decide it: the images limit the interval" in judged.reason


def test_a_delta_between_nothing_and_the_margin_may_need_more_seeds_than_anyone_runs():
    judged = judge(evidence(0.003, 0.06))
    assert judged.seeds_needed is None
    assert "more than 200 seeds an arm would be needed" in judged.reason


def test_fixed_checkpoints_are_not_decided_by_more_seeds():
    judged = judge(evidence(0.003, 0.02, estimand="images"))
    assert "these checkpoints are fixed" in judged.reason


def test_a_kept_arm_that_harms_a_guard_is_kept_at_a_cost_that_is_named():
    guard = GuardResult(
        metric="top1", delta=-0.014, ci_low=-0.019, ci_high=-0.009, margin=0.006, non_inferior=False
    )
    judged = judge(evidence(0.0168, 0.006, guards=(guard,)))
    assert (judged.verdict, judged.label) == ("keep", "at a cost")
    assert judged.reason.endswith("at a cost: top-1 moves by −1.4 pt (−1.90 to −0.90 pt), a loss above 0.6 pt.")


def test_a_guard_that_may_or_may_not_be_harmed_is_told_as_such():
    guard = GuardResult(metric="ece", delta=0.004, ci_low=-0.001, ci_high=0.009, margin=0.006, non_inferior=False)
    judged = judge(evidence(0.0168, 0.006, guards=(guard,)))
    assert judged.reason.endswith(
        "at a cost: ECE moves by +0.4 pt (−0.10 to +0.90 pt), a loss above 0.6 pt that is not ruled out."
    )


def test_a_verdict_on_assumed_noise_says_so():
    judged = judge(evidence(0.03, 0.012, assumed=True))
    assert judged.verdict == "keep"
    assert judged.reason.endswith("this rests on an assumed run-to-run noise, not on a measured one.")
