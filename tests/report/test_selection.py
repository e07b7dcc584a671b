"""What the report says of a search or a screening and of what is left of it; its figures in a browser."""

import json
import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from analysis.findings.selection import Agreement, Confirmed, Optimism, Selection, Yardstick
from analysis.looks import look_at
from analysis.report import print_report, render_html, render_json, render_markdown, sections_of
from analysis.report.confirmation import confirmation_section
from analysis.report.drawing import styled
from analysis.report.search import search_section
from analysis.report.searchfigures import best_so_far, history, pareto
from analysis.report.slices import slices
from analysis.selectionfile import read_selection
from analysis.words import interval_title
from tests.finished_search import screened, searched, write_selection
from tests.report.browser import look
from tests.report.test_figures import read_off, words


def read(folder, plain):
    write_selection(folder, plain)
    return read_selection(folder)


def confirmed(first, fresh=(0.008, 0.004, -0.001), test=(0.005, 0.006, -0.002)):
    made = []
    for place, pick in enumerate(first.picks):
        seen = first.delta(pick.number)
        made.append(
            Confirmed(
                arm=pick.arm,
                number=pick.number,
                first=seen,
                fresh=fresh[place],
                n_seeds=5,
                shrinkage=None if None in (seen, fresh[place]) else seen - fresh[place],
                test=test[place],
                ci_low=None if test[place] is None else test[place] - 0.008,
                ci_high=None if test[place] is None else test[place] + 0.008,
                by_chance=0.011 - 0.003 * place if first.stage == "search" else None,
            )
        )
    return tuple(made)


LUCK = Optimism(mean=0.0153, ci_low=0.0101, ci_high=0.0205, n_picks=3, n_seeds=5)
RULER = Yardstick(sd=0.0057, df=12, n_whole=14, n_scored=21, best=0.0097, best_scored=0.0108)


@pytest.fixture
def first(tmp_path):
    return read(tmp_path, searched(gain=0.015))


@pytest.fixture
def found(report, first):
    selection = Selection(
        first_stage=first, confirmed=confirmed(first), optimism=LUCK, yardstick=RULER, agreement=None
    )
    return replace(report, selection=selection)


@pytest.fixture
def sifted(report, tmp_path):
    first = read(tmp_path, screened({"baseline": 0.6, "a": 0.61, "b": 0.62, "c": 0.605, "d": 0.59}))
    agreement = Agreement(tau_val=1.0, tau_test=-1 / 3, n_arms=3)
    return replace(
        report,
        selection=Selection(
            first_stage=first, confirmed=confirmed(first), optimism=None, yardstick=None, agreement=agreement
        ),
    )


def with_selection(report, **changes):
    return replace(report, selection=replace(report.selection, **changes))


def confirmation(report):
    with styled():
        return confirmation_section(report)


def test_a_sweep_without_a_first_stage_has_neither_part(report):
    assert (confirmation_section(report), search_section(report)) == (None, None)


def test_how_much_is_left_is_said_in_the_records_own_numbers(found):
    seen = sum(one.first for one in found.selection.confirmed) / 3
    left, lucky, chance = confirmation(found).said
    assert left == (
        f"Of the +{100 * seen:.1f} pt that the search saw in its 3 picks on val, on average, +0.4 pt is left there "
        "with fresh seeds, and +0.3 pt on test."
    )
    assert lucky == (
        "The first runs looked better than fresh ones of the same arms by 1.53 pt (5 seeds, 95% interval "
        "+1.01 to +2.05): beyond chance, the luck of being picked."
    )
    assert chance.startswith(
        "If no lever did anything, the best of 14 points would still show +1.0 pt (runs vary by 0.57 pt, measured "
        "on val, 12 df); the search saw +"
    )


def test_of_a_single_pick_the_interval_on_test_is_said(found):
    one = with_selection(found, confirmed=found.selection.confirmed[:1])
    assert confirmation(one).said[0].endswith("and +0.5 pt (95% interval −0.30 to +1.30) on test.")


@pytest.mark.parametrize(
    ("fresh", "said"),
    [
        (0.05, "The search saw +"),
        (0.05, " pt in its 3 picks on val, on average; fresh seeds show +5.0 pt there, and +0.3 pt on test."),
        (-0.002, ", nothing is left there with fresh seeds (−0.2 pt), and +0.3 pt on test."),
    ],
)
def test_more_than_all_is_not_left_and_what_is_lost_is_said_to_be(found, fresh, said):
    shown = confirmed(found.selection.first_stage, fresh=(fresh,) * 3)
    assert said in confirmation(with_selection(found, confirmed=shown)).said[0]


@pytest.mark.parametrize(
    ("luck", "said"),
    [
        (replace(LUCK, mean=0.002, ci_low=-0.003, ci_high=0.007), "which chance explains (5 seeds"),
        (replace(LUCK, mean=-0.006, ci_low=-0.009, ci_high=-0.003), "looked worse than fresh ones"),
        (replace(LUCK, ci_low=None, ci_high=None, why_not="one seed tells nothing"), "no interval: one seed tells"),
    ],
)
def test_what_of_it_was_luck_is_said_as_its_interval_has_it(found, luck, said):
    assert said in confirmation(with_selection(found, optimism=luck)).said[1]


def test_where_picks_have_unlike_seeds_it_is_said_over_which_the_luck_is(found):
    one, two, three = found.selection.confirmed
    uneven = with_selection(found, confirmed=(replace(one, n_seeds=20), two, three))
    assert "by 1.53 pt (over the 5 seeds that all picks have, 95% interval" in confirmation(uneven).said[1]
    fewer = with_selection(
        found, confirmed=(one, two, replace(three, n_seeds=0)), optimism=replace(LUCK, n_picks=2)
    )
    assert "(2 of 3 picks, over the 5 seeds that all of them have, 95% interval" in confirmation(fewer).said[1]


def test_the_interval_on_test_names_the_level_that_judged_it_and_none_where_levels_are_mixed(found):
    first_look = look_at(3, declared=(3, 5), taken=())
    early = replace(found, comparisons=tuple(replace(c, look=first_look) for c in found.comparisons))
    mixed = replace(found, comparisons=(replace(found.comparisons[0], look=first_look), *found.comparisons[1:]))
    for report, title in (
        (found, "95% interval"),
        (early, interval_title(1 - first_look.alpha)),
        (mixed, "interval"),
    ):
        section = confirmation(report)
        assert section.tables[0].columns[5].title == title
        assert f"gives the verdict ({title})" in section.figures[0].caption


def test_scores_of_a_metric_without_a_unit_have_the_digits_that_they_have_elsewhere(tmp_path):
    first = read(tmp_path, searched(objectives=("nll",)))
    with styled():
        figure = history(first)
    assert f"point 0 {first.tried[0].scores['nll']:.4f}" in figure.alt


def test_what_is_not_trained_or_not_judged_yet_is_said_not_to_be(found):
    first = found.selection.first_stage
    waiting = with_selection(found, confirmed=confirmed(first, fresh=(0.008, None, None)), optimism=None)
    assert "pick-2 and pick-3 have no run on val with fresh seeds." in confirmation(waiting).said[0]
    unjudged = with_selection(found, confirmed=confirmed(first, test=(None,) * 3))
    assert confirmation(unjudged).said[0].endswith("; on test it is not judged here.")


@pytest.mark.parametrize("state", ["failed", "pruned"])
def test_a_search_whose_baseline_did_not_reach_its_end_is_drawn_without_it(report, first, state):
    scores = {} if state == "failed" else {first.metric: 0.5}
    lost = replace(first, tried=(replace(first.tried[0], state=state, scores=scores), *first.tried[1:]))
    report = replace(
        report,
        selection=Selection(
            first_stage=lost, confirmed=confirmed(lost), optimism=None, yardstick=RULER, agreement=None
        ),
    )
    with styled():
        section, search = confirmation_section(report), search_section(report)
    assert section.said[0].startswith(f"The baseline {'has failed' if state == 'failed' else 'was pruned'}")
    assert section.tables[0].rows[0][1:3] == ("–", "+0.80")
    assert "has no line" in search.figures[0].caption
    assert "baseline" not in words(search.figures[0])


def test_the_three_steps_of_every_pick_stand_where_the_axis_says(found):
    with styled():
        (figure,) = confirmation(found).figures
    assert {"search, val", "fresh seeds, val", "test", "by chance"} <= set(words(figure))
    squares = re.findall(r'<use xlink:href="#\w+" x="([\d.]+)" y="[\d.]+" style="fill: #1a5fb4', figure.svg)
    fresh = [100 * one.fresh for one in found.selection.confirmed]
    assert read_off(figure, squares[:3]) == pytest.approx(fresh, abs=1e-3)


def test_the_table_has_a_row_a_pick_with_its_levers(found):
    table = confirmation(found).tables[0]
    assert [row[0] for row in table.rows] == ["pick-1", "pick-2", "pick-3"]
    assert table.rows[0][2:7] == ("+0.80", "5", "+0.50", "−0.30 to +1.30", "+1.10")
    assert "focal_gamma" in table.rows[0][-1]


def test_a_screening_shows_its_order_and_all_arms_but_no_search(sifted):
    section = confirmation(sifted)
    assert search_section(sifted) is None
    assert "Kendall's tau +1.00 on val, −0.33 with test" in section.said[1]
    assert section.tables[1].rows[0] == ("b", "+2.00", "yes")
    assert ("d", "−1.00", "no") in section.tables[1].rows


def test_the_best_so_far_rises_through_whole_points_alone(first):
    steps = best_so_far(first)
    assert steps[0] == (0, 100 * first.tried[0].scores[first.metric])
    assert [score for _, score in steps] == sorted(score for _, score in steps)
    states = {one.number: one.state for one in first.tried}
    assert {states[number] for number, _ in steps} == {"done"}
    whole = [100 * one.scores[first.metric] for one in first.tried if one.state == "done"]
    assert steps[-1][1] == max(whole)


def test_the_history_counts_what_was_pruned_and_what_failed(first):
    with styled():
        figure = history(first)
    n = {state: sum(one.state == state for one in first.tried[1:]) for state in ("done", "pruned", "failed")}
    assert f"trained to the end ({n['done']}), crosses pruned ({n['pruned']})" in figure.caption
    assert "1 failed and has no score" in figure.caption
    assert {"best so far", "baseline", "point", "pruned", "pick", "1", "2", "3"} <= set(words(figure))


def test_a_lever_over_decades_has_a_logarithmic_axis_and_a_named_one_its_names(first):
    with styled():
        figure = slices(first)
    gamma, _, rate, sampler = figure.canvas.axes
    assert [axes.get_xscale() for axes in (gamma, rate)] == ["linear", "log"]
    assert [label.get_text() for label in sampler.get_xticklabels()] == ["balanced", "uniform"]
    assert {"0.1", "1", "10"} <= set(words(figure))


def test_the_front_is_that_of_comparing_every_pair(tmp_path):
    first = read(tmp_path, searched(objectives=("balanced_accuracy", "top1"), gain=0.02))
    whole = [one for one in first.tried if one.state == "done"]

    def worth(one):
        return one.scores["balanced_accuracy"], one.scores["top1"]

    front = [
        one.number
        for one in whole
        if not any(all(a >= b for a, b in zip(worth(o), worth(one), strict=True)) and o != one for o in whole)
    ]
    assert [one.number for one in pareto(first)] == front
    assert 1 < len(front) < len(whole)


def test_the_importances_come_with_what_they_are_not(found):
    with styled():
        figure = search_section(found).figures[1]
    assert {"55%", "30%", "10%", "5%"} <= set(words(figure))
    assert "sum to 100% even where the levers do nothing" in figure.caption


def test_every_figure_has_axes_that_are_named_a_question_and_a_caption(found, sifted, tmp_path):
    several = read(tmp_path, searched(objectives=("balanced_accuracy", "top1")))
    reports = (found, with_selection(found, first_stage=several, confirmed=confirmed(several)), sifted)
    with styled():
        sections = [*map(search_section, reports[:2]), *map(confirmation_section, reports)]
    figures = [figure for section in sections for figure in section.figures]
    assert {figure.name for figure in figures} == {
        "search-history", "search-importances", "search-slices", "search-front-0", "shrinkage",
    }  # fmt: skip
    for figure in figures:
        assert figure.title.endswith("?")
        assert figure.caption.endswith(".")
        assert all(axes.get_xlabel() for axes in figure.canvas.axes)
        assert figure.png().startswith(b"\x89PNG")
        assert re.findall("#[0-9a-f]{6}", figure.inline()) == []


def test_terminal_markdown_and_json_say_the_same(found):
    console = Console(file=StringIO(), width=300)
    print_report(found, console)
    markdown = render_markdown(found, sections_of(found))
    for sentence in confirmation(found).said:
        assert sentence in console.file.getvalue()
        assert sentence in markdown
    assert "## What did the search try?" in markdown
    plain = json.loads(render_json(found))["selection"]
    assert plain["confirmed"][0]["fresh"] == 0.008
    assert plain["first_stage"]["importances"]["focal_gamma"] == 0.55
    assert plain["optimism"]["ci_low"] == 0.0101
    assert len(plain["first_stage"]["tried"]) == len(found.selection.first_stage.tried)


@pytest.mark.parametrize("kind", ["found", "sifted", "several"])
@pytest.mark.parametrize("dark", [False, True])
def test_no_text_touches_another_or_is_cut_on_a_phone_or_a_desk(kind, dark, request, tmp_path):
    if kind == "several":
        found = request.getfixturevalue("found")
        first = read(tmp_path, searched(n_points=90, objectives=("balanced_accuracy", "top1"), gain=0.02, seed=3))
        report = with_selection(found, first_stage=first, confirmed=confirmed(first))
    else:
        report = request.getfixturevalue(kind)
    with styled():
        sections = [part for part in (confirmation_section(report), search_section(report)) if part]
    page = render_html(report, (), sections)
    found, console = look([(page, 390), (page, 1280)], dark=dark)
    assert console == []
    for seen in found:
        assert (seen["clipped"], seen["touching"], seen["overflowing"]) == ([], [], [])
    assert found[0]["smallest"] >= 8.5
