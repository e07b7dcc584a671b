"""A report of more arms than anybody reads: the best and the worst are drawn and told, the table has them all."""

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from analysis.records import Effect, Together
from analysis.report import figures_of, print_report, print_summary, render_html, render_json, render_markdown
from analysis.report.foremost import AT_A_GLANCE, MOST, foremost, narrowed
from tests.effort import growth

PIXELS = 2**16
"""What matplotlib refuses to draw, in either direction; a figure has 200 an inch."""
COMMENT = 65_536
"""Characters of a comment on GitHub."""


def of_arms(report, n):
    """The report with `n` arms that gain more and more, the least after the largest."""
    gains = [0.0, *(0.02 * (i * 7 % n - n / 2) / n for i in range(1, n))]
    arms = [
        replace(report.arms[0], arm=f"arm-{i}" if i else "baseline", mean=0.66 + g) for i, g in enumerate(gains)
    ]
    compared = [_compared(report.comparisons[i % 7], arm) for i, arm in enumerate(arms[1:])]
    return replace(report, arms=tuple(arms), comparisons=tuple(compared), effects=_effects(n), problems=())


def _compared(comparison, arm):
    delta = arm.mean - 0.66
    ends = {"ci_low": delta - 0.01, "ci_high": delta + 0.01}
    wide = {"ci_low_simultaneous": delta - 0.02, "ci_high_simultaneous": delta + 0.02}
    return replace(comparison, arm=arm.arm, delta=delta, **ends, **wide)


def _effects(n):
    together = Together(apart=(0.01, 0.02), both=0.03, label="undecided", seeds_needed=None)
    return tuple(
        Effect(
            name=f"a={i} × b=1",
            levels={"a": i, "b": 1},
            references={"a": 0, "b": 0},
            estimate=i / 1000,
            se=0.01,
            df=30.0,
            ci_low=-0.02,
            ci_high=0.04,
            ci_low_simultaneous=-0.03,
            ci_high_simultaneous=0.05,
            p_value=0.5,
            p_adjusted=0.9,
            p_holm=0.9,
            n_cells=1,
            of_cells=1,
            sentence=f"a={i} and b=1: open.",
            together=together,
        )
        for i in range(n)
    )


@pytest.fixture(scope="module")
def many(report):
    return of_arms(report, 400)


def printed(show, report):
    file = io.StringIO()
    show(report, Console(file=file, width=120))
    return file.getvalue()


def test_the_best_come_first_and_the_worst_last_behind_the_baseline(many):
    baseline, *others = foremost(many, 21)
    deltas = {c.arm: c.delta for c in many.comparisons}
    ranked = sorted(deltas, key=deltas.get, reverse=True)
    assert baseline == "baseline"
    assert others == [*ranked[:15], *ranked[-5:]]


def test_where_less_is_better_the_least_is_the_best(many):
    ece = replace(many, metric="ece")
    deltas = {c.arm: c.delta for c in many.comparisons}
    assert foremost(ece, 21)[1] == min(deltas, key=deltas.get)


def test_a_report_that_can_be_read_whole_is_shown_whole_and_in_its_own_order(report):
    assert narrowed(report) is report
    few = of_arms(report, MOST)
    assert narrowed(few) is few
    assert "best are shown" not in render_markdown(few)


def test_no_figure_is_too_large_to_be_drawn_and_each_says_what_it_leaves_out(many):
    figures = {figure.name: figure for figure in figures_of(many)}
    for figure in figures.values():
        assert max(figure.canvas.get_size_inches()) * 200 < PIXELS
    by_arm = [figures[name] for name in ("forest", "seeds", "class-recall", "over-prediction", "variance")]
    for figure in by_arm:
        assert figure.caption.endswith(
            "Of 399 arms the 44 best are shown and the 15 worst; the JSON report has them all."
        )
    assert len(set(re.findall(r"arm-\d+", figures["forest"].alt))) == MOST - 1
    assert "Of 400 pairs of levels the 60 most pronounced" in figures["interactions"].caption


def test_a_terminal_shows_the_best_and_the_worst_and_counts_the_rest(many):
    for show, most in ((print_report, 200), (print_summary, 80)):
        text = printed(show, many)
        assert len(text.splitlines()) < most
        assert len(re.findall(r"^arm-\d+ {2}", text, re.MULTILINE)) == AT_A_GLANCE - 1
        assert "Of 399 arms the 17 best are shown and the 6 worst; the JSON report has them all." in text


def test_a_comment_on_a_pull_request_holds_the_markdown(many):
    text = render_markdown(many)
    assert len(text) < COMMENT
    assert "Of 399 arms the 44 best are shown" in text


def test_the_page_and_the_json_have_every_arm_and_the_page_folds_the_reasons(many):
    page = render_html(many, ())
    head = page[: page.index("reasons</summary>")]
    assert len(re.findall(r'<th scope="row">arm-\d+', head)) == 399
    assert '<div class="card scroll tall"' in head
    assert len(json.loads(render_json(many))["comparisons"]) == 399


@pytest.mark.parametrize("render", [render_json, render_markdown, lambda report: render_html(report, ())])
def test_what_a_report_takes_to_write_is_in_proportion_to_its_arms(report, render):
    def writing(n):
        of = replace(of_arms(report, n), effects=())
        return lambda: render(of)

    assert growth(writing, 50, 200) < 1.1
