from dataclasses import replace

import pytest

from analysis.findings.labels import ClassMove, LabelFile, Rejudged, Relabelled, Resized, UnderLabels
from analysis.report import render_html
from analysis.report.drawing import styled
from analysis.report.labels import labels_section
from analysis.report.markdown import render_markdown
from tests.report.browser import look
from tests.report.conftest import CLASSES, SIZES


def under(comparison, moved=0.0, **changes):
    judged = UnderLabels(
        delta=comparison.delta + moved,
        ci_low=comparison.ci_low_simultaneous + moved,
        ci_high=comparison.ci_high_simultaneous + moved,
        verdict=comparison.verdict,
        label=comparison.label,
    )
    return replace(judged, **changes)


@pytest.fixture(scope="module")
def relabelled(report):
    """The report under corrected labels, by which no verdict is another one."""
    arms = tuple(
        Rejudged(arm=c.arm, given=under(c, -0.001), corrected=under(c), sentence=f"{c.arm}: stays {c.verdict}.")
        for c in report.comparisons
    )
    found = Relabelled(
        file=LabelFile(source="cleaned.csv", n_named=1400, n_kept=32, n_tied=3, n_unsure=1),
        n_changed=12,
        moves=(
            ClassMove(given=CLASSES[0], corrected=CLASSES[1], n_images=8),
            ClassMove(given=CLASSES[4], corrected=CLASSES[0], n_images=4),
        ),
        classes=tuple(
            Resized(name=n, given=s - d, corrected=s)
            for n, s, d in zip(CLASSES, SIZES, (-4, 8, 0, 0, -4), strict=True)
        ),
        arms=arms,
    )
    return replace(report, relabelled=found)


def with_first(report, given):
    """The report whose first arm was judged otherwise by the labels as given."""
    first, *others = report.relabelled.arms
    told = replace(first, given=given, sentence=f"{first.arm}: keep; by the labels as given reject.")
    return replace(report, relabelled=replace(report.relabelled, arms=(told, *others)))


def section(report):
    with styled():
        return labels_section(report)


def test_a_report_by_the_labels_as_given_has_no_such_part(report):
    assert labels_section(report) is None


def test_it_says_what_the_file_changes_and_counts_ties_and_doubtful_images(relabelled):
    said = section(relabelled).said[0]
    assert said.startswith(
        "cleaned.csv changes 12 of 1,432 test images; most often melanocytic nevus to melanoma (8)"
    )
    assert said.endswith(
        "; not named, their label kept: 32 images; tied: 3 images; no class above half of the weight: 1 image."
    )


def test_where_nothing_turns_it_says_so_and_tells_of_the_arm_that_moved_most(relabelled):
    assert section(relabelled).said[1] == "No verdict turns."
    assert section(relabelled).said[2].startswith("The delta that moved most: ")


def test_a_turned_verdict_is_told_in_its_sentence_with_the_sign_of_the_new_one(relabelled):
    first = relabelled.relabelled.arms[0]
    turned = with_first(relabelled, replace(first.given, verdict="reject", label="worse"))
    told = section(turned)
    assert told.said[1:] == (f"✓ {turned.relabelled.arms[0].sentence}",)
    assert "was ✗" in told.figures[0].svg


def test_a_label_that_changes_alone_is_told_and_is_no_turned_verdict(relabelled):
    first = relabelled.relabelled.arms[0]
    told = section(with_first(relabelled, replace(first.given, label="small")))
    assert told.said[1] == "No verdict turns."
    assert told.said[2].startswith("✓ ")


def test_the_table_has_every_arm_twice_and_the_classes_their_sizes(relabelled):
    verdicts, classes, moves = section(relabelled).tables
    (first, *_), comparison = verdicts.rows, relabelled.comparisons[0]
    assert first[0] == comparison.arm
    assert first[1] == "+0.61"
    assert first[4] == "+0.71"
    assert all(len(row) == len(verdicts.columns) for row in verdicts.rows)
    assert ("melanoma", "159", "167", "+8") in classes.rows
    assert ("dermatofibroma", "melanocytic nevus", "4") in moves.rows


def test_where_the_labels_as_given_have_no_such_metric_there_is_nothing_to_compare_with(relabelled):
    told = section(replace(relabelled, relabelled=replace(relabelled.relabelled, arms=())))
    assert told.figures == ()
    assert told.said[1] == "No verdict can be set beside one by the labels as given."


def test_markdown_has_it_too(relabelled):
    assert "What do the corrected labels change?" in render_markdown(relabelled, (section(relabelled),))


def test_its_figure_fits_a_phone_and_a_desk_with_no_word_cut_off(relabelled):
    html = render_html(relabelled, (), (section(relabelled),))
    found, console = look([(html, 390), (html, 1280)])
    assert console == []
    for seen in found:
        assert (seen["scrolls"], seen["overflowing"], seen["clipped"], seen["touching"]) == (False, [], [], [])
        assert seen["smallest"] >= 8.5
