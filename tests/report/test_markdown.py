import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from analysis.report import render_markdown
from analysis.report.chance import legend

GITHUB = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def tables(text):
    """Every table of the text as a CommonMark parser finds it: rows of cells, the heading first."""
    found, cells = [], None
    for token in GITHUB.parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            cells = found[-1][-1]
        elif token.type == "inline" and cells is not None:
            cells.append("".join(part.content for part in token.children))
            cells = None
    return found


@pytest.mark.parametrize("name", ["report", "wide", "awkward"])
def test_both_tables_parse_with_a_row_for_each_arm_and_class(name, request):
    report = request.getfixturevalue(name)
    _, arms, classes, *_ = tables(render_markdown(report))
    assert [row[0] for row in arms[1:]] == [arm.arm for arm in report.arms]
    assert classes[0][2:] == [arm.arm for arm in report.arms]
    assert sorted(row[0] for row in classes[1:]) == sorted(report.class_names)
    assert {len(row) for row in arms} == {11}
    assert {len(row) for row in classes} == {2 + len(report.arms)}


@pytest.mark.parametrize("name", ["report", "wide", "awkward", "alone"])
def test_every_row_has_as_many_cells_as_its_head_before_a_parser_fills_or_cuts_them(name, request):
    text = render_markdown(request.getfixturevalue(name))
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_a_row_says_delta_interval_chance_and_verdict(report):
    comparison = report.comparisons[2]
    head, *rows = tables(render_markdown(report))[1]
    row = rows[3]
    wrong = sum(delta < 0 for delta in comparison.seed_deltas)
    assert head[4:] == [
        "delta, pt", "95% interval", "p adj.", "Holm's p", "P(better)", "one run misleads", "verdict"
    ]  # fmt: skip
    assert row == [
        "focal_gamma=3", "5", "67.56", "0.55", "+1.23", "+0.22 to +2.24", "0.002", "0.003", "91%", f"{wrong} of 5",
        "✓ keep, at a cost",
    ]  # fmt: skip


def test_what_the_columns_of_chance_mean_stands_below_the_table(report):
    text = render_markdown(report)
    assert (
        text.index("one run misleads | verdict |")
        < text.index(legend(report))
        < text.index("- ✓ `focal_gamma=1`: +0.7")
    )


def test_the_answer_comes_first_and_how_it_was_made_last(report):
    text = render_markdown(report)
    order = (
        "# focal_ls",
        "- Keep focal_gamma=2",
        "## Summary",
        "## Verdicts",
        "## Recall",
        "## How much is chance?",
        "## To be known",
        "## How it was made",
    )
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "- **problem**: 1 of 40 trials is missing" in text
    assert text.endswith("- training time: 31.40 hours\n")


def test_every_arm_has_its_reason(report):
    text = render_markdown(report)
    for comparison in report.comparisons:
        assert f"`{comparison.arm}`: {comparison.reason}" in text


def test_an_arm_alone_shows_what_it_has_and_no_empty_column(alone):
    arms, classes = tables(render_markdown(alone))
    assert arms == [["arm", "seeds", "balanced accuracy", "sd"], ["baseline", "5", "66.33", "0.26"]]
    assert {len(row) for row in classes} == {3}


def test_a_name_is_never_read_as_markup(awkward):
    html = GITHUB.render(render_markdown(awkward))
    assert "Keep &lt;b&gt;&amp;amp;$x_1$ (+1.7 pt)" in html
    assert "Reject `a` ``|`` ~b~ __c__ (+0.1 pt)" in html
    assert "<td>__[bold]~$k_1$~__ `|` \\|</td>" in html.replace(' style="text-align:left"', "")
    assert re.findall("<(?:b|i|em|s)>", html) == ["<em>"]  # the question's own


def test_what_is_not_known_leaves_no_empty_heading(report):
    text = render_markdown(
        replace(
            report,
            question="",
            problems=(),
            provenance={},
            comparisons=tuple(replace(c, notes=()) for c in report.comparisons),
        )
    )
    assert "To be known" not in text
    assert "How it was made" not in text
    assert "__" not in text
