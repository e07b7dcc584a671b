import json
import math
from dataclasses import replace

import pytest

from analysis.report import render_json

TOP = {
    "format", "metric", "margin", "estimand", "baseline", "n_images", "n_groups", "n_classes", "run_sd", "arms",
    "comparisons", "effects", "provenance",
}  # fmt: skip
ARM = {"arm", "n_seeds", "mean", "sd", "top1", "top3", "balanced_accuracy", "ece"}
COMPARISON = {
    "arm", "baseline", "metric", "delta", "se", "df", "ci_low", "ci_high", "p_value", "p_adjusted",
    "ci_low_simultaneous", "ci_high_simultaneous", "verdict", "label", "reason", "seeds_needed", "n_seeds", "notes",
}  # fmt: skip
"""What other programs may rely on; keys are added, never renamed."""


def test_the_keys_that_programs_rely_on_are_there(report):
    document = json.loads(render_json(report))
    assert document.keys() >= TOP
    assert document["format"] == 1
    assert all(arm.keys() >= ARM for arm in document["arms"])
    assert all(comparison.keys() >= COMPARISON for comparison in document["comparisons"])


def test_numbers_survive_unrounded_as_fractions(report):
    document = json.loads(render_json(report))
    assert [c["delta"] for c in document["comparisons"]] == [c.delta for c in report.comparisons]
    assert [a["seed_scores"] for a in document["arms"]] == [list(a.seed_scores) for a in report.arms]
    assert document["margin"] == 0.006


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_number_that_json_has_not_is_null(report, number):
    odd = replace(report, comparisons=(replace(report.comparisons[0], df=number),))
    document = json.loads(render_json(odd), parse_constant=pytest.fail)
    assert document["comparisons"][0]["df"] is None


def test_an_arm_alone_has_no_comparisons(alone):
    document = json.loads(render_json(alone))
    assert document["comparisons"] == []
    assert [arm["arm"] for arm in document["arms"]] == ["baseline"]
