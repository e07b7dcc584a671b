"""Where each arm stopped stands in every drawing of the report, from the same record."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from analysis.comparison import compare
from analysis.report import figures_of, print_report, render_html, render_json, render_markdown, sections_of
from analysis.report.repeats import TITLE, picture, repeats_section
from tests.analysis.conftest import make_study as drawn_study

ARMS = {"baseline": 8, "arm0": 8, "arm1": 3}


def study(repeats="adaptive"):
    made = drawn_study(gains=(0.03, 4.0), seeds=range(8), sizes=(60, 40, 30), guards=(), noise=0.8)
    question = replace(made.question, seeds=tuple(range(8)), looks=(3, 5, 8), repeats=repeats)
    return replace(made, question=question)


@pytest.fixture(scope="module")
def report():
    return compare(study(), quick=True)


def test_the_terminal_draws_a_character_a_seed(report):
    assert [(arm, seeds) for arm, seeds, _ in picture(report)] == [
        ("baseline", "━━━━━━━━"),
        ("arm0", "━━━━━━━?"),
        ("arm1", "━━✓·····"),
    ]
    console = Console(width=120, file=io.StringIO())
    print_report(report, console)
    text = console.file.getvalue()
    assert TITLE in text
    assert "decided at look 1" in text


def test_what_was_spent_and_spared_is_said_in_numbers_that_add_up(report):
    said = repeats_section(report).said
    assert said[0] == (
        "19 trials up to look 3 of 3, where 24 would be repeats of 8 seeds an arm: 5 are spared (21%)."
    )
    assert said[1:] == ("Stopped: arm1 (decided at 3 seeds).", "Open: arm0; no further look is declared.")
    made = json.loads(render_json(report))["repeats"]
    assert (made["spent"], made["spared"], made["looks"], made["reached"]) == (19, 5, [3, 5, 8], 3)
    assert {arm["arm"]: arm["n_seeds"] for arm in made["arms"]} == ARMS


def test_page_and_markdown_have_the_part_and_name_no_single_level(report):
    sections = sections_of(report)
    for text in (render_html(report, figures_of(report), sections), render_markdown(report, sections)):
        assert TITLE in text
        assert (
            "each arm&#39;s at the look that judged it" in text or "each arm's at the look that judged it" in text
        )
    assert "| interval |" in render_markdown(report, sections)


def test_each_decided_arms_interval_is_told_at_its_own_level(report):
    (kept,) = (c for c in report.comparisons if c.verdict == "keep")
    markdown = render_markdown(report)
    assert f"its {100 * (1 - kept.look.alpha):.4g}% interval is" in markdown


def test_fixed_repeats_have_no_such_part():
    fixed = compare(study("fixed"), quick=True)
    assert repeats_section(fixed) is None
    assert picture(fixed) == ()
    assert json.loads(render_json(fixed))["repeats"] is None
