"""What more seeds would buy, against the closed form."""

import math
from dataclasses import replace

import pytest
from scipy import stats

from analysis.report import figures_of
from analysis.report.chance import chance_section
from analysis.report.moreseeds import prospects


@pytest.fixture
def pair(report):
    """The baseline and one arm, five seeds each: Student's t is all there is."""
    return replace(report, arms=report.arms[:2], comparisons=report.comparisons[:1])


def test_an_interval_is_t_times_the_standard_error_that_so_many_seeds_leave(pair):
    """Two arms that share seeds: (1 - r) run_sd^2 twice over n, and the images' own part; Satterthwaite's df."""
    (c,), noise = pair.comparisons, pair.noise
    images, seed = c.v_img - c.v_res, 2 * noise.sd**2 * (1 - noise.seed_correlation)
    for row in prospects(pair):
        if row.n_seeds and row.n_seeds >= 10:
            total = seed / row.n_seeds + images
            df = (row.n_seeds - 1) * (total / (seed / row.n_seeds)) ** 2
            expected = stats.t.ppf(0.975, df) * math.sqrt(total)
            assert row.half_width == pytest.approx(expected)


def test_endless_seeds_leave_what_the_images_leave(pair):
    (c,), endless = pair.comparisons, prospects(pair)[-1]
    assert endless.n_seeds is None
    error = math.sqrt(c.v_img - c.v_res)
    assert endless.half_width == pytest.approx(stats.norm.ppf(0.975) * error)
    assert endless.smallest == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * error)


def test_seeds_are_those_that_are_there_and_the_next_steps(report):
    assert [row.n_seeds for row in prospects(report)] == [5, 10, 20, 50, None]
    widths = [row.half_width for row in prospects(report)]
    assert widths == sorted(widths, reverse=True)


def test_on_this_very_test_set_endless_seeds_would_leave_nothing_to_say(report):
    assert [row.n_seeds for row in prospects(replace(report, estimand="seeds"))] == [5, 10, 20, 50]


@pytest.mark.parametrize("change", [{"estimand": "images"}, {"noise": None}, {"comparisons": ()}])
def test_where_more_seeds_change_nothing_or_noise_is_not_known_nothing_is_foretold(report, change):
    other = replace(report, **change)
    assert chance_section(other).tables == ()
    assert "more-seeds" not in {figure.name for figure in figures_of(other)}


def test_table_sentence_and_figure_have_the_same_numbers(report):
    now, more, *_ = prospects(report)
    section = chance_section(report)
    (table,) = section.tables
    assert table.rows[0] == ("5, as it is", f"{100 * now.half_width:.2f}", f"{100 * now.smallest:.2f}")
    assert section.said[-1].startswith("With 10 seeds an arm instead of 5, the intervals would reach ")
    (figure,) = [figure for figure in figures_of(report) if figure.name == "more-seeds"]
    for row in (now, more):
        assert f">{100 * row.half_width:.2f}</text>" in figure.svg
        assert f">{100 * row.smallest:.2f}</text>" in figure.svg
