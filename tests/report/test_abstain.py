"""What the report says of the three tiers: where the bound held, where it did not, and for which classes."""

import re
from dataclasses import replace

import pytest

from analysis.findings.abstain import Abstain, ArmTiers, ClassTiers, Frozen, OverSeeds, RiskCurve, Tier
from analysis.findings.held import Held
from analysis.report import render_html, render_json, render_markdown, sections_of
from analysis.report.abstain import abstain_section
from tests.report.browser import look

PHONE, DESK = 390, 1280
COVERAGE = tuple(i / 10 for i in range(1, 11))


def tier(share, risk, n_runs=5, n_within=0):
    told = None if risk is None else OverSeeds(mean=risk, sd=0.01)
    return Tier(share=OverSeeds(mean=share, sd=0.02), risk=told, n_runs=n_runs, n_within=n_within)


def arm_tiers(name, answer, top3):
    error = None if answer.risk is None else answer.risk.mean
    return ArmTiers(
        arm=name,
        runs=tuple(
            Frozen(seed=seed, answer=0.7, top3=0.4, answered=answer.share.mean + 0.01 * seed, error=error)
            for seed in range(5)
        ),
        answer=answer,
        top3=top3,
        aurc=OverSeeds(mean=0.11, sd=0.003),
        curve=RiskCurve(coverage=COVERAGE, error=tuple(0.3 * c for c in COVERAGE), sd=(0.01,) * 10),
        val_accuracy=0.801,
        test_accuracy=0.699,
        classes=(
            ClassTiers(name="melanocytic nevus", n_images=1006, answered=0.8, error=0.02, shown=0.1, miss=0.01),
            ClassTiers(name="melanoma", n_images=167, answered=0.39, error=0.741, shown=0.1, miss=None),
            ClassTiers(name="dermatofibroma", n_images=17, answered=0.3, error=1.0, shown=0.0, miss=None),
        ),
    )


def held(arm, delta, half):
    return Held(
        arm=arm,
        delta=delta,
        ci_low=delta - half,
        ci_high=delta + half,
        ci_low_simultaneous=delta - 2 * half,
        ci_high_simultaneous=delta + 2 * half,
    )


@pytest.fixture(scope="module")
def judged(report):
    names = [arm.arm for arm in report.arms]
    return replace(
        report,
        abstain=Abstain(
            answer_risk=0.1,
            top3_risk=0.05,
            level=0.95,
            n_val_images=897,
            n_val_groups=700,
            arms=tuple(arm_tiers(name, tier(0.46, 0.121), tier(0.3, 0.04, 3, 2)) for name in names),
            answered=tuple(held(name, 0.02, 0.02) for name in names[1:]),
            aurc=(held(names[1], -0.013, 0.004), *(held(name, 0.001, 0.004) for name in names[2:])),
        ),
    )


@pytest.fixture(scope="module")
def section(judged):
    (found,) = (section for section in sections_of(judged) if section.key == "abstain")
    return found


def said(report, **changed):
    """The section's sentences, with these fields of the baseline's tiers changed."""
    baseline = replace(report.abstain.arms[0], **changed)
    tiers = replace(report.abstain, arms=(baseline, *report.abstain.arms[1:]))
    return abstain_section(replace(report, abstain=tiers)).said


def test_the_first_sentence_says_what_is_answered_shown_and_left_and_which_runs_keep_to_the_risk(section):
    assert section.said[0] == (
        "baseline answers 46% of the images, wrong in 12.1% (stated: 10%; 0 of 5 runs keep to it), shows three "
        "classes for 30% of the images (in 3 of 5 runs), the true one missing in 4% (stated: 5%; 2 of 3 runs keep "
        "to it), and abstains on 24%."
    )


def test_the_kept_arm_of_the_largest_gain_stands_beside_the_baseline(section):
    assert section.said[1].startswith("focal_gamma=2 answers 46%")
    assert [table.name for table in section.tables][-2:] == [
        "Three tiers of every class: baseline",
        "Three tiers of every class: focal_gamma=2",
    ]


def test_a_bound_that_did_not_hold_on_test_is_told_with_what_val_and_test_are(section, judged):
    told = (
        "The bound did not hold on test: baseline is right on 80.1% of val and on 69.9% of test, and a bound "
        "speaks for images like those that it was made on."
    )
    assert told in section.said
    assert not any("did not hold" in sentence for sentence in said(judged, answer=tier(0.4, 0.08, n_within=5)))


def test_classes_whose_answers_break_the_stated_error_are_named_where_enough_are_answered(section):
    (told,) = (sentence for sentence in section.said if "not of a class" in sentence)
    assert "74.1% of melanoma (39% of them answered)" in told
    assert "dermatofibroma" not in told
    assert "nevus" not in told


def test_only_what_the_familys_intervals_tell_apart_is_said_to_move(section):
    assert "No arm moves the share that is answered as far as one can tell." in section.said
    (told,) = (sentence for sentence in section.said if "risk-coverage" in sentence)
    assert told.endswith("(less is better): focal_gamma=1 −1.3 pt (−2.10 to −0.50).")


def test_where_nothing_is_answered_that_is_said(judged):
    none = tier(0.0, None, 0)
    assert said(judged, answer=none, top3=none)[0] == (
        "baseline abstains on every image: on val no threshold of any run bears a stated error of 10%, or 5% with "
        "three classes shown."
    )
    assert "answers no image (no run's val bears a threshold at a stated 10%)" in said(judged, answer=none)[0]


def test_every_row_of_a_table_has_a_cell_a_column(section):
    for table in section.tables:
        assert {len(row) for row in table.rows} == {len(table.columns)}
    assert [table.folded for table in section.tables] == [False, True, True, True]


def test_page_markdown_and_json_have_the_tiers(judged):
    sections = sections_of(judged)
    assert 'id="abstain"' in render_html(judged, (), sections)
    assert "## Answer, show three, or abstain" in render_markdown(judged, sections)
    assert '"n_val_groups": 700' in render_json(judged)


def test_without_val_the_section_is_left_out(report):
    assert abstain_section(report) is None


def test_the_curve_marks_each_run_at_its_frozen_threshold(section):
    curve, bars = section.figures
    assert (curve.name, bars.name) == ("coverage", "tiers")
    assert "46% answered at 12.1% error, mean over 5 seeds" in curve.alt
    assert "stated error, 10%" in curve.svg
    assert "answered 46%, three shown 30%, abstained 24%" in bars.alt
    assert len(re.findall(r">46%<", bars.svg)) == 8


def test_figures_are_drawn_where_no_run_answers(judged):
    none = tier(0.0, None, 0)
    tiers = replace(
        judged.abstain,
        arms=tuple(arm_tiers(arm.arm, none, none) for arm in judged.abstain.arms),
        answered=(),
        aurc=(),
    )
    (found,) = (part for part in sections_of(replace(judged, abstain=tiers)) if part.key == "abstain")
    assert "baseline: no threshold." in found.figures[0].alt
    assert len(re.findall(r">100%<", found.figures[1].svg)) >= 8


def test_the_section_fits_a_phone_and_a_desk_with_no_label_cut_off(judged):
    only = tuple(part for part in sections_of(judged) if part.key == "abstain")
    html = render_html(judged, (), only)
    for seen in look([(html, PHONE), (html, DESK)])[0]:
        assert (seen["scrolls"], seen["overflowing"], seen["clipped"], seen["touching"]) == (False, [], [], [])
