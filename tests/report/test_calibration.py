"""What the report says of calibration, and its diagrams in a browser."""

import json
from dataclasses import replace

import pytest

from analysis.findings.calibration import ArmCalibration, CalibrationErrors, ConfidenceBin, Spread
from analysis.report import render_html, render_json
from analysis.report.calibration import calibration_section
from analysis.report.drawing import styled
from tests.report.browser import look


def bins(tilt):
    """Fifteen bins whose accuracy is `tilt` times their confidence; the lowest have no predictions."""
    made = []
    for b in range(15):
        n, middle = 0 if b < 3 else 100 * b, (b + 0.5) / 15
        made.append(
            ConfidenceBin(
                low=b / 15,
                high=(b + 1) / 15,
                n_images=n,
                confidence=middle if n else None,
                accuracy=min(1.0, tilt * middle) if n else None,
            )
        )
    return tuple(made)


def errors(ece, nll):
    return CalibrationErrors(ece=ece, ece_equal_mass=ece + 0.001, ece_classwise=ece / 3, nll=nll)


def arm_of(name, *, t=1.03, before=0.022, after=0.018):
    return ArmCalibration(
        arm=name,
        n_seeds=10,
        temperature=Spread(values=(t,) * 10, mean=t, sd=0.03, lowest=t - 0.05, highest=t + 0.05),
        before=errors(before, 0.91),
        after=errors(after, 0.89),
        bins_before=bins(0.8),
        bins_after=bins(1.0),
    )


def without_val(arm):
    return replace(arm, temperature=None, after=None, bins_after=())


def section_of(report, *arms):
    with styled():
        return calibration_section(replace(report, calibration=arms))


def test_a_report_in_which_nobody_looked_has_no_such_part(report):
    assert calibration_section(report) is None


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        (
            arm_of("baseline"),
            "The baseline is calibrated: T 1.03 (0.98 to 1.08 over 10 seeds), ECE 2.2 to 1.8 pt.",
        ),
        (
            arm_of("baseline", t=1.5, before=0.12),
            "The baseline is overconfident: T 1.50 (1.45 to 1.55 over 10 seeds), ECE 12.0 to 1.8 pt.",
        ),
        (
            arm_of("focal_gamma=1", t=0.6, before=0.02, after=0.031),
            "focal_gamma=1 is underconfident: T 0.60 (0.55 to 0.65 over 10 seeds), ECE 2.0 to 3.1 pt. What val "
            "asks for makes test worse: the two are not alike.",
        ),
        (
            arm_of("baseline", before=0.057, after=0.046),
            "The baseline needs next to no temperature: T 1.03 (0.98 to 1.08 over 10 seeds), ECE 5.7 to 4.6 pt.",
        ),
        (
            without_val(arm_of("baseline")),
            "The baseline has an ECE of 2.2 pt; without val predictions no temperature is fitted.",
        ),
    ],
)
def test_an_arm_is_told_in_one_sentence(report, arm, said):
    assert section_of(report, arm).said == (said,)


def test_the_baseline_and_the_first_arm_that_was_kept_have_diagrams_and_every_arm_a_row(report):
    arms = [arm_of(arm.arm) for arm in report.arms]
    section = section_of(report, *arms)
    kept = next(c.arm for c in report.comparisons if c.verdict == "keep")
    assert [figure.title for figure in section.figures] == ["Reliability of baseline", f"Reliability of {kept}"]
    assert [row[0] for row in section.tables[0].rows] == [arm.arm for arm in arms]
    assert section.tables[0].rows[0][1:] == (
        "1.03 (0.98 to 1.08)", "0.030", "2.20 → 1.80", "2.30 → 1.90", "0.73 → 0.60", "0.9100 → 0.8900",
    )  # fmt: skip


def test_without_val_a_row_has_no_arrow(report):
    (row,) = section_of(report, without_val(arm_of("baseline"))).tables[0].rows
    assert row[1:] == ("–", "–", "2.20", "2.30", "0.73", "0.9100")


def test_the_json_has_each_arms_temperatures_errors_and_bins(report):
    document = json.loads(render_json(replace(report, calibration=(arm_of("baseline"),))))["calibration"]
    assert document[0]["temperature"]["values"] == [1.03] * 10
    assert document[0]["after"]["ece"] == 0.018
    assert document[0]["bins_before"][0] == {
        "low": 0.0, "high": 1 / 15, "n_images": 0, "confidence": None, "accuracy": None,
    }  # fmt: skip


def test_diagrams_can_be_read_on_a_phone_and_nothing_in_them_touches_or_is_cut(report):
    section = section_of(report, arm_of("baseline"), without_val(arm_of("focal_gamma=1")))
    page = render_html(report, (), (section,))
    (phone, desk), _ = look([(page, 390), (page, 1200)])
    for seen in (phone, desk):
        assert (seen["clipped"], seen["touching"], seen["overflowing"]) == ([], [], [])
        assert seen["smallest"] >= 9.5
    assert not any(name and name.startswith("Reliability") for name in phone["scrolling"])
