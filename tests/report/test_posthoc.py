"""What the report says of treatments after training, beside the records that it is made from."""

import json
from dataclasses import replace

import pytest

from analysis.findings.calibration import Spread
from analysis.findings.posthoc import Change, TreatedArm
from analysis.report import render_html, render_json, render_markdown
from analysis.report.drawing import styled
from analysis.report.posthoc import posthoc_section, shown_arms


def change(metric, before, delta, half):
    return Change(
        metric=metric, before=before, after=before + delta, delta=delta, ci_low=delta - half, ci_high=delta + half
    )


def treated(arm, treatment, delta, *, verdict="keep", label="practical", **changes):
    half = 0.004 if verdict else 0.0
    fields = {
        "name": f"{arm}+{treatment}",
        "arm": arm,
        "treatment": treatment,
        "seeds": (0, 1, 2, 3, 4),
        "primary": change("balanced_accuracy", 0.66, delta, half),
        "seed_deltas": (delta,) * 5,
        "se": half / 2,
        "ci_low_simultaneous": delta - 1.5 * half,
        "ci_high_simultaneous": delta + 1.5 * half,
        "p_adjusted": 0.012 if verdict else 1.0,
        "own_noise": False,
        "verdict": verdict,
        "label": label,
        "reason": f"{100 * delta:+.1f} pt, the reason.",
        "guards": (change("top1", 0.73, 0.001 if verdict else 0.0, half),),
        "top3": change("top3", 0.92, 0.0, half),
        "ece": change("ece", 0.022, -0.004, 0.003),
        "nll_before": 0.91,
        "nll_after": 0.89,
        "fitted": None,
        "forward_passes": 2 if "hflip" in treatment else 1,
    }
    return TreatedArm(**{**fields, **changes})


T = Spread(values=(0.98, 1.03, 1.08), mean=1.03, sd=0.05, lowest=0.98, highest=1.08)


@pytest.fixture(scope="module")
def rows(report):
    return tuple(
        row
        for arm in report.arms
        for row in (
            treated(arm.arm, "hflip", 0.009),
            treated(arm.arm, "temperature", 0.0, verdict=None, label="", fitted=T),
            treated(arm.arm, "hflip+temperature", 0.009, fitted=T),
        )
    )


@pytest.fixture(scope="module")
def filled(report, rows):
    return replace(report, posthoc=rows)


@pytest.fixture(scope="module")
def section(filled):
    with styled():
        return posthoc_section(filled)


def test_a_report_without_treated_arms_has_no_such_part(report):
    assert posthoc_section(report) is None


def test_the_baseline_and_the_kept_arms_stand_open_and_all_others_are_folded(filled, section):
    kept = [c.arm for c in filled.comparisons if c.verdict == "keep"]
    assert list(shown_arms(filled)) == ["baseline", *kept]
    score, calibration, *folded = section.tables
    assert [row[0] for row in score.rows] == [r.name for r in filled.posthoc if r.arm in ("baseline", *kept)]
    assert [row[0] for row in calibration.rows] == [row[0] for row in score.rows]
    assert [table.folded for table in section.tables] == [False, False, True, True]
    assert sum(len(table.rows) for table in (score, folded[0])) == len(filled.posthoc)


def test_the_best_arm_stands_open_where_none_is_kept(filled):
    none = [replace(c, verdict="inconclusive", label="") for c in filled.comparisons]
    best = max(none, key=lambda c: c.delta)
    assert shown_arms(replace(filled, comparisons=tuple(none))) == ("baseline", best.arm)
    worst_is_best = replace(filled, comparisons=tuple(none), metric="ece")
    assert shown_arms(worst_is_best) == ("baseline", min(none, key=lambda c: c.delta).arm)


def test_each_treatment_of_the_baseline_has_its_sentence_once(section):
    assert section.said[0] == "baseline+hflip: ✓ keep, practical. +0.9 pt, the reason."
    assert not any(said.startswith("baseline+hflip+temperature") for said in section.said)


def test_a_temperature_is_said_to_change_no_prediction_and_what_it_is_worth(section):
    (said,) = [said for said in section.said if said.startswith("baseline+temperature")]
    assert said == (
        "baseline+temperature changes no prediction, its delta is exactly 0. It moves ECE from 2.20 to 1.80 pt "
        "(−0.70 to −0.10) and NLL from 0.9100 to 0.8900."
    )
    assert (
        dict(zip([c.title for c in section.tables[0].columns], section.tables[0].rows[1], strict=True))["verdict"]
        == "changes no prediction"
    )


def test_the_cost_of_mirrored_images_is_said_where_there_are_any(filled, section):
    assert section.said[-1].endswith("two forward passes, twice the inference time.")
    without = replace(filled, posthoc=tuple(r for r in filled.posthoc if r.forward_passes == 1))
    assert not any("forward passes" in said for said in posthoc_section(without).said)


def test_a_part_in_which_nothing_moves_the_score_has_no_figure(filled):
    still = replace(filled, posthoc=tuple(r for r in filled.posthoc if r.verdict is None))
    assert posthoc_section(still).figures == ()


def test_what_runs_chose_stands_with_its_spread(section):
    assert section.tables[1].rows[1][1] == "1.03 (0.98 to 1.08)"
    assert section.tables[1].rows[0][1] == "–"


def test_arms_that_rest_on_their_own_runs_and_single_runs_are_named(filled):
    own = replace(filled, posthoc=(replace(filled.posthoc[0], own_noise=True), *filled.posthoc[1:]))
    assert "vary baseline+hflip: such an interval" in posthoc_section(own).note
    single = replace(filled, arms=tuple(replace(arm, seeds=(0,)) for arm in filled.arms))
    assert "speak for these checkpoints" in posthoc_section(single).note


def test_page_and_json_have_every_row_and_markdown_those_that_stand_open(filled, section):
    page, text = render_html(filled, (), (section,)), render_markdown(filled, (section,))
    document = json.loads(render_json(filled))["posthoc"]
    assert 'id="after-training"' in page
    assert page.count("<wbr>+hflip") + page.count("+hflip</th>") >= len(filled.arms)
    assert [f"| `{row.name}` |" in text for row in filled.posthoc] == [
        row.arm in shown_arms(filled) for row in filled.posthoc
    ]
    assert [row["name"] for row in document] == [row.name for row in filled.posthoc]
    assert document[1]["fitted"]["mean"] == 1.03
    assert document[1]["verdict"] is None
