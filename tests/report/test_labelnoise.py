import re
from dataclasses import replace

import pytest

from analysis.findings.labels import ArmUnderNoise, LabelNoise, Turning
from analysis.report import render_html
from analysis.report.drawing import styled
from analysis.report.labelnoise import label_noise_section
from tests.report.browser import look

RATES = (0.02, 0.07, 0.16, 0.20)


def turning(model, *unchanged, rate=None, into=None):
    return Turning(model=model, unchanged=unchanged, rate=rate, into=into)


STEADY = (turning("confusions", 1, 1, 1, 1), turning("uniform", 1, 1, 1, 0.97, into="inconclusive"))
UNSTEADY = (
    turning("confusions", 1, 0.9, 0.4, 0.2, rate=0.144, into="inconclusive"),
    turning("uniform", 1, 1, 0.9, 0.6, into="reject"),
)


@pytest.fixture(scope="module")
def noisy(report):
    """The verdict on the second arm turns if errors follow the confusions, no other one does."""
    arms = tuple(
        ArmUnderNoise(arm=c.arm, verdict=c.verdict, turnings=UNSTEADY if i == 1 else STEADY)
        for i, c in enumerate(report.comparisons)
    )
    return replace(report, label_noise=LabelNoise(rates=RATES, n_draws=100, by_group=True, arms=arms))


def section(report):
    with styled():
        return label_noise_section(report)


def test_a_report_that_supposes_nothing_of_labels_has_no_such_part(report):
    assert label_noise_section(report) is None


def test_a_verdict_that_turns_says_at_which_rate_into_what_and_by_which_errors(noisy):
    assert section(noisy).said[1] == (
        "✓ focal_gamma=2: keep would turn to inconclusive at 14% wrong labels if errors follow the confusions, "
        "not up to 20% if they are uniform."
    )


def test_the_way_that_turns_sooner_is_said_first(noisy):
    both = (UNSTEADY[0], replace(UNSTEADY[1], rate=0.05))
    first = replace(noisy.label_noise.arms[0], turnings=both)
    told = section(replace(noisy, label_noise=replace(noisy.label_noise, arms=(first,))))
    assert told.said == (
        "✓ focal_gamma=1: keep would turn to reject at 5% wrong labels if errors are uniform, "
        "to inconclusive at 14% if they follow the confusions.",
    )


def test_verdicts_that_hold_share_a_sentence(noisy):
    assert section(noisy).said[0].startswith("The verdict on focal_gamma=1, focal_gamma=3, ")
    steady = tuple(replace(arm, turnings=STEADY) for arm in noisy.label_noise.arms)
    told = section(replace(noisy, label_noise=replace(noisy.label_noise, arms=steady)))
    assert told.said == (
        "Every verdict holds in at least half of the draws up to 20% wrong labels, of either kind.",
    )


def test_the_figure_has_a_whole_and_a_broken_line_an_arm_and_the_rate_in_words(noisy):
    (figure,) = section(noisy).figures
    assert len(re.findall(r"stroke-dasharray: [^;\"]*; stroke-dashoffset[^\"]*stroke: #b3541e", figure.svg)) >= len(
        noisy.comparisons
    )
    assert "confusions: 14%" in figure.svg
    assert "focal_gamma=2, keep, half turn at 14% (confusions errors), half turn at &gt; 20%" in figure.svg


def test_the_tables_have_every_arm_and_every_rate(noisy):
    rates, shares = section(noisy).tables
    assert [row[0] for row in rates.rows] == [c.arm for c in noisy.comparisons]
    assert rates.rows[1] == ("focal_gamma=2", "✓ keep", "14%", "? inconclusive", "> 20%", "–")
    assert ("focal_gamma=2", "confusions", "100%", "90%", "40%", "20%") in shares.rows
    assert all(len(row) == len(shares.columns) for row in shares.rows)


def test_the_note_says_what_it_cannot_tell(noisy):
    note = section(noisy).note
    assert "It cannot tell which labels are wrong" in note
    assert "--labels FILE" in note
    assert "Images of one group share their error" in note


def test_a_metric_that_is_not_offered_is_a_sentence_alone(noisy):
    found = replace(noisy.label_noise, arms=(), not_offered="top-3 cannot be scored on drawn labels: why")
    told = section(replace(noisy, label_noise=found))
    assert told.said == ("Top-3 cannot be scored on drawn labels: why.",)
    assert told.figures == told.tables == ()


def test_its_figure_fits_a_phone_and_a_desk_with_no_word_cut_off(noisy):
    html = render_html(noisy, (), (section(noisy),))
    found, console = look([(html, 390), (html, 1280)])
    assert console == []
    for seen in found:
        assert (seen["scrolls"], seen["overflowing"], seen["clipped"], seen["touching"]) == (False, [], [], [])
        assert seen["smallest"] >= 8.5
