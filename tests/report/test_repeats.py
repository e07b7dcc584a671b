"""Where each arm stopped stands in every drawing of the report, from the same record."""

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from analysis.comparison import compare
from analysis.report import figures_of, print_report, render_html, render_json, render_markdown, sections_of
from analysis.report.answer import scope
from analysis.report.moreseeds import prospects
from analysis.report.repeats import TITLE, fate_words, picture, repeats_said, repeats_section
from analysis.report.summary import summary_of
from analysis.words import unit_of
from tests.analysis.conftest import make_study as drawn_study

ARMS = {"baseline": 8, "arm0": 8, "arm1": 3}


def study(repeats="adaptive"):
    made = drawn_study(gains=(0.03, 4.0), seeds=range(8), sizes=(60, 40, 30), guards=(), noise=0.8)
    question = replace(made.question, seeds=tuple(range(8)), looks=(3, 5, 8), repeats=repeats)
    return replace(made, question=question)


def stopped(repeats="adaptive"):
    """The same as a sweep with adaptive repeats leaves it: of the decided arm no run is there beyond its look."""
    whole = study(repeats)
    *going, decided = whole.arms
    return replace(whole, arms=(*going, replace(decided, runs=decided.runs[:3])))


@pytest.fixture(scope="module")
def report():
    return compare(stopped(), quick=True)


@pytest.fixture(scope="module")
def whole():
    """With all that is made of predictions besides."""
    return compare(stopped())


def test_the_terminal_draws_a_character_a_seed(report):
    assert [(arm, seeds) for arm, seeds, _ in picture(report, 24)] == [
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
    assert picture(fixed, 24) == ()
    assert json.loads(render_json(fixed))["repeats"] is None


def test_runs_beyond_an_arms_look_are_counted_and_not_as_spared():
    said = repeats_section(compare(study(), quick=True)).said
    assert said[0].endswith("8 seeds an arm: 0 are spared (0%), and 5 more are there and not used.")


def test_that_means_and_deltas_are_over_unlike_seeds_is_said_where_they_stand_together(report):
    assert "Means are over each arm's seeds" in scope(report)
    assert "Means are over each arm's seeds" in repeats_section(report).note
    assert "Means are over" not in scope(compare(study("fixed"), quick=True))


def test_with_another_baseline_the_sweeps_own_goes_on_and_fates_are_said_to_be_by_its_question(report):
    other = compare(stopped(), baseline="arm0", quick=True)
    assert fate_words(other, other.repeats.arms[0]) == fate_words(report, report.repeats.arms[0]) == "up to look 3"
    assert fate_words(other, other.repeats.arms[1]) == "open after look 3"
    assert repeats_said(other)[-1] == "Fates are by the sweep's own question, verdicts by this report's."
    assert all("own question" not in line for line in repeats_said(report))
    assert repeats_said(compare(stopped(), margin=0.01, quick=True))[-1] == repeats_said(other)[-1]


def test_what_more_seeds_would_buy_begins_at_the_look_whose_level_it_has(report):
    assert prospects(report)[0].n_seeds == report.look.n_seeds == 8


def test_a_class_and_an_arm_have_one_delta_in_table_heat_map_summary_and_long_tail(whole):
    decided = whole.comparisons[-1]
    of_tail = {k.name: held.delta for k in whole.tail.classes for held in k.recall if held.arm == decided.arm}
    assert of_tail != pytest.approx(dict(decided.class_deltas))  # its own look has other seeds of the baseline
    points = {name: unit_of("recall").delta(delta) for name, delta in of_tail.items()}
    markdown = render_markdown(whole)
    heat = next(figure for figure in figures_of(whole) if figure.name == "class-recall")
    for name, delta in points.items():
        row = next(line for line in markdown.splitlines() if line.startswith(f"| {name} |"))
        assert row.endswith(f"| {delta} |")
        said = unit_of("recall").said(of_tail[name]).removesuffix(" pt")
        assert re.search(rf"{name}: [^;]*{decided.arm} {re.escape(said)}[;.]", heat.alt)
    (told,) = (one for one in summary_of(whole).highlights if one.arm == decided.arm)
    for move in told.moves:
        name, said, *_ = move.split()
        assert said.rstrip("*") == unit_of("recall").said(of_tail[name]).removesuffix(" pt")
