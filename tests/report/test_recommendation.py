"""What the report closes with: what to ship, to repeat and to drop, each from its verdict."""

import json
from dataclasses import replace

import pytest

from analysis.findings.calibration import ArmCalibration, CalibrationErrors, Spread
from analysis.findings.labels import ArmUnderNoise, LabelNoise, Turning
from analysis.findings.posthoc import Change, TreatedArm
from analysis.looks import Look
from analysis.recommendation import Repeat, Trade, best_kept, recommend
from analysis.records import Effect, Together
from analysis.report import render_json, sections_of


def without(report, *arms):
    return replace(report, comparisons=tuple(c for c in report.comparisons if c.arm not in arms))


def pair(label):
    """Focal loss with gamma 2 and label smoothing, together."""
    return Effect(
        name="focal_gamma=2 × label_smoothing=0.1",
        levels={"focal_gamma": 2.0, "label_smoothing": 0.1},
        references={"focal_gamma": 0.0, "label_smoothing": 0.0},
        n_cells=1,
        of_cells=1,
        estimate=-0.003,
        se=0.004,
        df=20,
        ci_low=-0.011,
        ci_high=0.005,
        ci_low_simultaneous=-0.012,
        ci_high_simultaneous=0.006,
        p_value=0.5,
        p_adjusted=0.9,
        p_holm=0.9,
        sentence="",
        together=Together(apart=(0.0168, 0.0005), both=0.0143, label=label, seeds_needed=None),
    )


def test_the_largest_kept_gain_is_shipped_the_open_repeated_and_the_rejected_dropped(report):
    assert recommend(report).sentences == (
        "Ship focal_gamma=2: +1.7 pt (95% interval +0.84 to +2.52 pt) in balanced accuracy over the baseline.",
        "Repeat focal_gamma=1+label_smoothing=0.1 with 12 seeds an arm: that would decide it at the delta seen.",
        "Set focal_gamma=2+label_smoothing=0.1 aside: undecided, and more seeds will hardly change that.",
        "Drop label_smoothing=0.1 and focal_gamma=3+label_smoothing=0.1: a gain of 0.6 pt is ruled out.",
    )


def test_its_parts_are_there_for_programs(report):
    made = json.loads(render_json(report))["recommendation"]
    assert made["ship"] == "focal_gamma=2"
    assert made["trades"] == []
    assert made["repeat"] == [{"arm": "focal_gamma=1+label_smoothing=0.1", "n_seeds": 12}]
    assert made["set_aside"] == ["focal_gamma=2+label_smoothing=0.1"]
    assert made["drop"] == ["label_smoothing=0.1", "focal_gamma=3+label_smoothing=0.1"]
    assert made["sentences"] == list(recommend(report).sentences)


def test_every_compared_arm_is_in_exactly_one_place(report):
    made = recommend(report)
    kept = {c.arm for c in report.comparisons if c.verdict == "keep"}
    places = [*kept, *(r.arm for r in made.repeat), *made.set_aside, *made.drop]
    assert sorted(places) == sorted(c.arm for c in report.comparisons)


def test_an_arm_at_a_cost_is_no_recommendation_but_a_trade_that_is_named(report):
    made = recommend(without(report, "focal_gamma=2"))
    assert made.ship == "focal_gamma=1"
    assert made.trades == (Trade(arm="focal_gamma=3", gain=0.0123, costs=("top1",)),)
    assert made.sentences[:2] == (
        "Ship focal_gamma=1: +0.7 pt (95% interval +0.14 to +1.28 pt) in balanced accuracy over the baseline.",
        "To be weighed, for no interval decides it: focal_gamma=3, +1.2 pt for −1.4 pt of top-1.",
    )


def test_where_every_kept_arm_has_a_cost_the_baseline_is_shipped_unless_it_is_accepted(report):
    made = recommend(without(report, "focal_gamma=1", "focal_gamma=2"))
    assert made.ship == "baseline"
    assert made.sentences[:2] == (
        "Ship the baseline, unless a cost is accepted: every arm that gains in balanced accuracy has one.",
        "To be weighed, for no interval decides it: focal_gamma=3, +1.2 pt for −1.4 pt of top-1.",
    )


def test_an_arm_at_a_cost_that_gains_less_than_the_shipped_one_is_no_trade(report):
    assert recommend(report).trades == ()
    assert best_kept(report).arm == "focal_gamma=2"


def test_the_best_kept_arm_has_no_cost_if_any_kept_arm_has_none(report):
    assert best_kept(without(report, "focal_gamma=2")).arm == "focal_gamma=1"
    assert best_kept(without(report, "focal_gamma=1", "focal_gamma=2")).arm == "focal_gamma=3"


def test_where_nothing_is_kept_the_baseline_is_shipped(report):
    made = recommend(without(report, "focal_gamma=1", "focal_gamma=2", "focal_gamma=3"))
    assert made.ship == "baseline"
    assert made.sentences[0] == "Ship the baseline: no arm is shown to beat it in balanced accuracy."


def test_of_a_metric_that_is_better_the_less_the_largest_fall_is_shipped(report):
    kept = tuple(replace(c, delta=-c.delta) for c in report.comparisons if c.verdict == "keep")
    assert recommend(replace(report, metric="ece", comparisons=kept)).ship == "focal_gamma=2"


def test_seeds_that_decide_several_arms_are_said_once_and_the_fewest_first(report):
    seeds = iter((20, 8, 20))
    undecided = tuple(replace(c, verdict="inconclusive", seeds_needed=next(seeds)) for c in report.comparisons[:3])
    made = recommend(replace(report, comparisons=undecided))
    assert made.repeat == (
        Repeat(arm="focal_gamma=2", n_seeds=8),
        Repeat(arm="focal_gamma=3", n_seeds=20),
        Repeat(arm="focal_gamma=1", n_seeds=20),
    )
    assert made.sentences[1:] == (
        "Repeat focal_gamma=2 with 8 seeds an arm: that would decide it at the delta seen.",
        "Repeat focal_gamma=3 and focal_gamma=1 with 20 seeds an arm: that would decide it at the delta seen.",
    )


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("compose", "Its levers may go together: focal_gamma=2 and label_smoothing=0.1 compose."),
        ("reinforce", "Its levers may go together: focal_gamma=2 and label_smoothing=0.1 compose."),
        (
            "undecided",
            "Its gain is that of the whole: whether focal_gamma=2 and label_smoothing=0.1 compose is open.",
        ),
        (
            "cancel",
            "Its gain is less than its levers' gains together: focal_gamma=2 and label_smoothing=0.1 work against "
            "each other.",
        ),
    ],
)
def test_of_an_arm_with_two_levers_it_is_said_whether_they_compose(report, label, said):
    together = tuple(
        replace(c, verdict="keep", delta=0.03) if c.arm == "focal_gamma=2+label_smoothing=0.1" else c
        for c in report.comparisons
    )
    assert recommend(replace(report, comparisons=together, effects=(pair(label),))).sentences[1] == said


@pytest.mark.parametrize(("rate", "warned"), [(0.08, True), (0.15, True), (0.16, False), (None, False)])
def test_a_verdict_that_few_wrong_labels_would_turn_comes_with_a_warning(report, rate, warned):
    turnings = tuple(
        Turning(model=m, unchanged=(), rate=r, into=None) for m, r in (("confusions", rate), ("uniform", None))
    )
    under_noise = tuple(ArmUnderNoise(arm=c.arm, verdict=c.verdict, turnings=turnings) for c in report.comparisons)
    noise = LabelNoise(rates=(0.08, 0.16), n_draws=9, by_group=True, arms=under_noise)
    said = recommend(replace(report, label_noise=noise)).sentences[1]
    assert said.startswith("Have its test labels read again first") is warned
    assert (f"were {100 * (rate or 0):.0f}% of them wrong, it might not be kept." in said) is warned


def treated(arm, treatment, delta, verdict):
    change = Change(
        metric="balanced_accuracy", before=0.66, after=0.66 + delta, delta=delta, ci_low=0.0, ci_high=0.0
    )
    return TreatedArm(
        name=f"{arm}+{treatment}",
        arm=arm,
        treatment=treatment,
        seeds=(0, 1),
        primary=change,
        se=0.001,
        ci_low_simultaneous=delta - 0.002,
        ci_high_simultaneous=delta + 0.002,
        p_adjusted=0.01,
        own_noise=False,
        seed_deltas=(delta, delta),
        verdict=verdict,
        label="",
        reason="",
        guards=(),
        top3=change,
        ece=change,
        nll_before=1.0,
        nll_after=1.0,
        fitted=None,
        forward_passes=2 if treatment == "hflip" else 1,
    )


def test_the_shipped_arms_best_kept_treatment_is_named_with_its_price(report):
    rows = (
        treated("focal_gamma=2", "hflip", 0.004, "keep"),
        treated("focal_gamma=2", "logit_adjustment", 0.003, "keep"),
        treated("focal_gamma=2", "focal_inverse", 0.009, "inconclusive"),
        treated("baseline", "hflip", 0.02, "keep"),
    )
    made = recommend(replace(report, posthoc=rows))
    assert made.after_training == "focal_gamma=2+hflip"
    assert made.sentences[1] == (
        "After training, focal_gamma=2+hflip gives +0.4 pt (95% interval +0.20 to +0.60 pt) on the same "
        "checkpoints, at 2 forward passes an image."
    )


@pytest.mark.parametrize(("after", "temperature"), [(0.02, 1.3), (0.06, None)])
def test_a_temperature_is_recommended_where_it_mends_the_calibration(report, after, temperature):
    errors = CalibrationErrors(ece=0.05, ece_equal_mass=0.05, ece_classwise=0.01, nll=1.0)
    calibration = ArmCalibration(
        arm="focal_gamma=2",
        n_seeds=2,
        temperature=Spread(values=(1.2, 1.4), mean=1.3, sd=0.14, lowest=1.2, highest=1.4),
        before=errors,
        after=replace(errors, ece=after),
        bins_before=(),
        bins_after=(),
    )
    made = recommend(replace(report, calibration=(calibration,)))
    assert made.temperature == temperature
    said = (
        "Divide the logits of focal_gamma=2 by a temperature fitted on val (1.30, mean over seeds): "
        "the ECE goes from 5 pt to 2 pt."
    )
    assert (said in made.sentences) is (temperature is not None)


def test_before_the_first_declared_look_the_baseline_stays(report):
    look = Look(number=0, of=3, n_seeds=2, alpha=0.0, spent=0.0, declared=True, later=(3, 5, 10))
    made = recommend(replace(report, comparisons=(), look=look))
    assert made.sentences[0].startswith("Ship the baseline for now: ")


def test_one_arm_alone_recommends_nothing(alone):
    assert recommend(alone) is None
    assert json.loads(render_json(alone))["recommendation"] is None


def test_the_report_closes_with_it(report):
    assert sections_of(report)[-1].key == "recommendation"
