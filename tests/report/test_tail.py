"""The long tail as the report draws it."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from analysis.findings.tail import (
    ClassGroup,
    ClassMoves,
    Confusion,
    Held,
    Inflow,
    Sink,
    SinkArm,
    Tail,
)
from analysis.report.classes import over_prediction, recall_deltas
from analysis.report.drawing import styled
from analysis.report.html import render_html
from analysis.report.markdown import render_markdown
from analysis.report.tail import tail_section
from tests.report.browser import look

SVG = "{http://www.w3.org/2000/svg}"


def held(arm, delta, half=0.05):
    return Held(
        arm=arm,
        delta=delta,
        ci_low=delta - half / 2,
        ci_high=delta + half / 2,
        ci_low_simultaneous=delta - half,
        ci_high_simultaneous=delta + half,
    )


def with_tail(report):
    """The report with a tail in which the first arm lifts the rarest class and drains the commonest."""
    arms, scores = [c.arm for c in report.comparisons], report.arms[0].classes
    moves = tuple(
        ClassMoves(
            name=k.name,
            n_images=k.n_images,
            recall=tuple(held(arm, 0.2 if (k, arm) == (scores[-1], arms[0]) else 0.01) for arm in arms),
            over_prediction=tuple(held(arm, -0.3 if (k, arm) == (scores[0], arms[0]) else 0.0) for arm in arms),
        )
        for k in scores
    )
    thirds = {"many": scores[:2], "medium": scores[2:4], "few": scores[4:]}
    groups = tuple(
        ClassGroup(
            name=name,
            classes=tuple(k.name for k in third),
            largest=third[0].n_images,
            smallest=third[-1].n_images,
            recall=0.5,
            deltas=tuple(held(arm, 0.12 if (name, arm) == ("few", arms[0]) else -0.01) for arm in arms),
        )
        for name, third in thirds.items()
    )
    found = Confusion(
        arm=arms[0],
        true=scores[1].name,
        predicted=scores[0].name,
        before=0.284,
        after=0.223,
        images=-10.2,
        delta=held(arms[0], -0.061, 0.019),
    )
    inflows = tuple(Inflow(name=k.name, images=50.0 / (1 + i)) for i, k in enumerate(scores[1:]))
    baseline = SinkArm(
        arm=report.baseline,
        share=0.47,
        over_prediction=1.17,
        net_inflow=153.0,
        inflows=inflows,
        share_delta=None,
        over_prediction_delta=None,
        net_inflow_delta=None,
    )
    others = tuple(
        replace(
            baseline,
            arm=arm,
            share_delta=held(arm, -0.1 if arm == arms[0] else 0.0),
            over_prediction_delta=moves[0].over_prediction[i],
            net_inflow_delta=held(arm, -30.0, 10),
        )
        for i, arm in enumerate(arms)
    )
    sink = Sink(
        name=scores[0].name,
        n_images=scores[0].n_images,
        ci_low=1.12,
        ci_high=1.22,
        net_share=0.34,
        arms=(baseline, *others),
    )
    return replace(
        report, tail=Tail(classes=moves, groups=groups, confusions=(found,), n_confusions=140, sink=sink)
    )


@pytest.fixture(name="told", scope="module")
def _told(report):
    return with_tail(report)


def section_of(report):
    with styled():
        return tail_section(report)


def heat_map(draw, report):
    with styled():
        return draw(report)


def bold(figure):
    return [
        "".join(text.itertext())
        for text in ElementTree.fromstring(figure.svg).iter(f"{SVG}text")
        if "bold" in text.get("style", "") or "700" in text.get("style", "")
    ]


def test_without_a_tail_there_is_no_section_and_the_heat_maps_mark_nothing(report):
    assert section_of(report) is None
    for draw in (recall_deltas, over_prediction):
        assert bold(heat_map(draw, report)) == []
    assert "No interval is drawn" in heat_map(recall_deltas, report).caption


def test_heat_maps_frame_what_moved_beyond_chance_and_nothing_else(told):
    framed = [heat_map(draw, told) for draw in (recall_deltas, over_prediction)]
    assert [len(bold(figure)) for figure in framed] == [1, 1]
    assert all("Framed and bold" in figure.caption for figure in framed)
    assert bold(framed[0])[0] == re.findall(
        r"dermatofibroma: focal_gamma=1 ([^,;]+)[,;]", framed[0].alt
    )[0]  # fmt: skip


def test_sentences_say_what_moved_in_the_records_own_numbers(told):
    said = section_of(told).said
    assert said == (
        "focal_gamma=1 lifts the recall of dermatofibroma (+20.0 pt) beyond chance.",
        "Beyond chance the mean recall moves most of few with focal_gamma=1 (+12.0 pt; +7.00 to +17.00); that of "
        "many and medium with no arm.",
        "focal_gamma=1 calls 22.3% of the melanoma images melanocytic nevus, the baseline 28.4% (−6.1 pt; −8.00 to "
        "−4.20).",
        "melanocytic nevus is the sink: the baseline says it 1.17 times as often as it occurs (1.12 to 1.22), and "
        "47.0% of its errors are images of other classes called melanocytic nevus; its net inflow, 153 images a "
        "run, is 34.0% of all errors.",
        "Images flow into it from melanoma (50), benign keratosis (25), basal cell carcinoma (17) and 1 more.",
        "How often melanocytic nevus is said, over how often it occurs, moves beyond chance to 1.17 with "
        "focal_gamma=1 (−0.300).",
    )


def test_where_nothing_moves_that_is_said(told):
    still = tuple(
        replace(
            move,
            recall=tuple(held(delta.arm, 0.0) for delta in move.recall),
            over_prediction=tuple(held(delta.arm, 0.0) for delta in move.over_prediction),
        )
        for move in told.tail.classes
    )
    groups = tuple(
        replace(group, deltas=tuple(held(delta.arm, 0.0) for delta in group.deltas)) for group in told.tail.groups
    )
    sink = replace(told.tail.sink, ci_low=0.97)
    found = tuple(replace(c, delta=held(c.arm, -0.061, 0.2)) for c in told.tail.confusions)
    tail = replace(told.tail, classes=still, groups=groups, sink=sink, confusions=found)
    section = section_of(replace(told, tail=tail))
    recalls, mean, confused, no_sink = section.said
    assert (
        recalls
        == "No arm moves the recall of any class beyond chance: 35 intervals that hold at once all include 0."
    )
    assert mean == "In no arm does the mean recall of many, medium or few classes move beyond chance."
    assert confused.endswith("the largest change of a confusion, and it may be chance.")
    assert no_sink.startswith("No class is a sink beyond chance: melanocytic nevus leads")
    assert [figure.name for figure in section.figures] == ["many-medium-few"]


def test_a_mark_stands_beside_what_moved_and_groups_alone_are_open(told):
    groups, recalls, ratios, _, sink = section_of(told).tables
    assert [table.folded for table in section_of(told).tables] == [False, True, True, True, True]
    assert groups.rows[1] == (
        "focal_gamma=1",
        "−1.00 (−6.00 to +4.00)",
        "−1.00 (−6.00 to +4.00)",
        "+12.00 (+7.00 to +17.00) ▲",
    )
    marks = [cell[-1] for table in (recalls, ratios) for row in table.rows for cell in row if cell[-1] in "▲▼"]
    assert marks == ["▲", "▼"]
    assert sink.rows[0][1:] == ("47.00", "", "1.170", "", "153.0", "")
    assert all(len(row) == len(table.columns) for table in section_of(told).tables for row in table.rows)


def test_figures_are_well_formed_and_say_their_numbers_to_who_does_not_see_them(told):
    groups, sink = section_of(told).figures
    for figure in (groups, sink):
        root = ElementTree.fromstring(figure.svg)
        assert root[0].text == figure.alt
        assert figure.title.endswith("?")
    assert "focal_gamma=1: many −1.00 (−6.00 to +4.00)" in groups.alt
    assert "few +12.00 (+7.00 to +17.00)" in groups.alt
    assert "baseline 47.0% of errors (melanoma 50.0" in sink.alt


@pytest.mark.parametrize("name", ["report", "wide", "awkward"])
def test_no_text_touches_another_or_is_cut_on_a_phone_or_a_desk(name, request):
    told = with_tail(request.getfixturevalue(name))
    section = section_of(told)
    figures = [*section.figures, heat_map(recall_deltas, told)]
    page = render_html(told, figures[-1:], (section,))
    for seen in look([(page, 390), (page, 1280)])[0]:
        assert (seen["clipped"], seen["touching"], seen["overflowing"], seen["scrolls"]) == ([], [], [], False)
    assert "## The long tail" in render_markdown(told, (section,))
