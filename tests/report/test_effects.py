"""The grid's effects as every drawing of a report shows them."""

import html
import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from rich.cells import cell_len
from rich.console import Console

from analysis.comparison import compare
from analysis.report import figures_of, print_report, render_html, render_json, render_markdown
from analysis.report.answer import answer
from analysis.report.effects import most_telling, section_of
from tests.analysis.grids import FOUR_BY_TWO, GAMMA, SMOOTHING, THREE_LEVERS, crossed, without
from tests.report.browser import look
from tests.report.test_figures import NUMBER, SVG, THIN, read_off

DASHED = rf'd="M {NUMBER} {NUMBER} \nL \1 {NUMBER} \n" clip-path="[^"]*" style="[^"]*stroke-dasharray'


def judged(study):
    return compare(study, n_resamples=500)


@pytest.fixture(scope="module")
def grid():
    """Four gammas by two smoothings that get in each other's way."""
    chances = {0.0: 0.45, 0.1: 0.6}
    return judged(
        crossed(
            FOUR_BY_TWO,
            chance=lambda levers: (
                chances[levers[SMOOTHING]] + 0.25 * (levers[GAMMA] > 1) * (levers[SMOOTHING] == 0)
            ),
            sizes=(300, 200, 100),
            seed_sd=0.01,
        )
    )


@pytest.fixture(scope="module")
def awkward_levers():
    """Levers whose names mean something to Markdown, HTML, rich or TeX."""
    return judged(crossed({"[red]<b>a|b[/]": (0.0, 1.0), "`$x_1$` __c__": (0.0, 1.0)}))


@pytest.fixture(scope="module")
def main_effects_alone():
    """A grid with so many holes that no pair of levels has all four arms."""
    holes = (
        "sampler_power=1",
        "focal_gamma=1",
        "focal_gamma=2",
        "label_smoothing=0.1",
        "focal_gamma=2+sampler_power=1",
    )
    return judged(without(crossed(THREE_LEVERS), *holes))


@pytest.fixture(params=["grid", "awkward_levers", "main_effects_alone"])
def any_grid(request):
    return request.getfixturevalue(request.param)


def page_of(report):
    return render_html(report, figures_of(report))


def printed(report, width):
    out = io.StringIO()
    print_report(report, Console(file=out, width=width))
    return out.getvalue()


def pairs_of(report):
    return [effect for effect in report.effects if effect.together]


def figure_of(report):
    return next((figure for figure in figures_of(report) if figure.name == "interactions"), None)


def words_of(text):
    return " ".join(text.split())


def test_every_drawing_has_every_interaction_in_its_own_words(grid):
    page = html.unescape(page_of(grid).replace("<wbr>", ""))
    drawings = (page, render_markdown(grid), words_of(printed(grid, 100)), figure_of(grid).alt)
    for effect in pairs_of(grid):
        assert all(effect.sentence in drawing for drawing in drawings)


@pytest.mark.parametrize("drawing", [page_of, render_markdown, lambda report: printed(report, 100)])
def test_every_drawing_has_estimate_interval_p_and_settings_of_each_main_effect(grid, drawing):
    text = drawing(grid)
    rows = [row for row in section_of(grid).mains if row.name != "label_smoothing=0.1"]
    assert [row.settings for row in rows] == ["2", "2", "2"]
    for row in rows:
        cells = (row.name, row.estimate, row.interval, row.p_adjusted, row.reference, row.settings)
        assert re.search(r"\D+?".join(map(re.escape, map(html.escape, cells))), text)


def test_settings_that_are_missing_are_counted(main_effects_alone):
    (row,) = section_of(main_effects_alone).mains
    assert (row.name, row.settings) == ("sampler_power=1", "2 of 6")


def test_json_has_the_same_keys_for_both_kinds(grid):
    effects = json.loads(render_json(grid))["effects"]
    assert [effect["kind"] for effect in effects] == ["main"] * 4 + ["interaction"] * 3
    assert len({tuple(effect) for effect in effects}) == 1
    assert {
        "kind", "name", "levels", "n_cells", "estimate", "se", "df", "ci_low", "ci_high", "ci_low_simultaneous",
        "ci_high_simultaneous", "p_value", "p_adjusted", "p_holm", "label", "sentence",
    } <= effects[0].keys()  # fmt: skip
    assert (effects[0]["label"], effects[0]["levels"]) == (None, {"focal_gamma": 1.0})
    assert [effect["estimate"] for effect in effects] == [effect.estimate for effect in grid.effects]
    assert effects[-1]["apart"] == list(grid.effects[-1].together.apart)


def test_sum_and_intervals_stand_where_the_axis_says(grid):
    figure, pairs = figure_of(grid), pairs_of(grid)
    sums = [100 * sum(pair.together.apart) for pair in pairs]
    assert read_off(figure, [x for x, _, _ in re.findall(DASHED, figure.svg)]) == pytest.approx(sums, abs=1e-3)
    lows, highs = (
        [total + 100 * getattr(pair, f"ci_{end}_simultaneous") for total, pair in zip(sums, pairs, strict=True)]
        for end in ("low", "high")
    )
    thin = re.findall(THIN, figure.svg)
    assert read_off(figure, [low for low, _, _ in thin]) == pytest.approx(lows, abs=1e-3)
    assert read_off(figure, [high for _, _, high in thin]) == pytest.approx(highs, abs=1e-3)


def test_the_figure_says_each_difference_and_its_label(grid):
    said = ["".join(text.itertext()) for text in ElementTree.fromstring(figure_of(grid).svg).iter(f"{SVG}text")]
    for pair in pairs_of(grid):
        assert f"{100 * pair.estimate:+.2f}".replace("-", "−") in said
    assert "✗ cancel" in said


@pytest.mark.parametrize(
    ("label", "start"),
    [
        ("compose", "focal_gamma=2 and label_smoothing=0.1 compose: "),
        ("reinforce", "focal_gamma=2 and label_smoothing=0.1 reinforce each other: "),
        ("cancel", "focal_gamma=2 and label_smoothing=0.1 work against each other: "),
        ("undecided", "Whether focal_gamma=2 and label_smoothing=0.1 compose is open: "),
    ],
)
def test_the_answer_has_one_sentence_on_what_levers_do_together(grid, label, start):
    pair = next(effect for effect in pairs_of(grid) if effect.levels[GAMMA] == 2)
    given = replace(
        pair,
        estimate=-0.0031,
        ci_low_simultaneous=-0.0125,
        ci_high_simultaneous=0.0063,
        together=replace(pair.together, label=label),
    )
    *_, last = answer(replace(grid, effects=(given,)))
    assert last == start + "together they differ from their sum by −0.3 pt (−1.25 to +0.63 pt)."
    assert len(answer(grid)) == len(answer(replace(grid, effects=()))) + 1


def test_the_pair_that_is_told_is_the_best_arms_own(grid):
    for pair in pairs_of(grid):
        arms = tuple(
            replace(arm, mean=0.99) if arm.levers.items() >= pair.levels.items() else arm for arm in grid.arms
        )
        assert most_telling(replace(grid, arms=arms)) is pair


def test_of_pairs_as_near_to_the_best_arm_the_most_pronounced_is_told(grid):
    baseline, *others = grid.arms
    best = replace(grid, arms=(replace(baseline, mean=0.99), *others))
    first, *rest = pairs_of(grid)
    pronounced = replace(first, estimate=0.9)
    assert most_telling(replace(best, effects=(*rest, pronounced))) is pronounced


def test_a_report_without_effects_says_nothing_of_levers(grid):
    bare = replace(grid, effects=())
    assert figure_of(bare) is None
    for drawing in (page_of(bare), render_markdown(bare), printed(bare, 100)):
        assert "compose?" not in drawing
        assert "main effect" not in drawing


def test_main_effects_without_a_pair_are_shown_all_the_same(main_effects_alone):
    assert figure_of(main_effects_alone) is None
    page = page_of(main_effects_alone)
    assert "<h2>What does each lever do?</h2>" in page
    assert '<th scope="row">sampler_power=1</th>' in page


def test_the_page_with_effects_fits_a_phone_and_a_desk(any_grid):
    page = page_of(any_grid)
    found, console = look([(page, 390), (page, 1280)])
    assert console == []
    for seen in found:
        assert (seen["scrolls"], seen["overflowing"], seen["clipped"], seen["touching"]) == (False, [], [], [])


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_line_is_longer_than_the_terminal(any_grid, width):
    assert max(map(cell_len, printed(any_grid, width).splitlines())) <= width


def test_levers_stay_names(awkward_levers):
    assert "[red]<b>a|b[/]=1 and `$x_1$` __c__=1 together" in words_of(printed(awkward_levers, 200))
    assert "<b>a|b" not in page_of(awkward_levers)
    table = render_markdown(awkward_levers).partition("| main effect")[2].partition("\n\n")[0]
    _, _, row, other = table.splitlines()
    assert row.startswith("| `[red]<b>a\\|b[/]=1` |")
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in (row, other)} == {7}


def test_no_colour_of_the_figure_stays_behind_when_the_page_goes_dark(grid):
    assert re.findall("#[0-9a-f]{6}", figure_of(grid).inline()) == []


def test_cells_without_any_difference_are_drawn(grid):
    flat = tuple(
        replace(
            pair,
            estimate=0.0,
            ci_low=0.0,
            ci_high=0.0,
            ci_low_simultaneous=0.0,
            ci_high_simultaneous=0.0,
            together=replace(pair.together, apart=(0.0, 0.0), both=0.0, label="compose"),
        )
        for pair in pairs_of(grid)
    )
    assert "✓ compose" in figure_of(replace(grid, effects=flat)).svg
