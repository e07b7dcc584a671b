from dataclasses import replace

import pytest

from analysis.looks import Look
from analysis.records import Effect, Together
from analysis.report import figures_of, render_html, render_markdown
from analysis.report.answer import answer, scope


def only(report, verdict):
    return replace(report, comparisons=tuple(c for c in report.comparisons if c.verdict == verdict))


def test_three_verdicts_make_three_sentences_the_largest_delta_first(report):
    assert answer(report) == (
        "Keep focal_gamma=2 (+1.7 pt), focal_gamma=3 (+1.2 pt, at a cost) and focal_gamma=1 (+0.7 pt), "
        "in balanced accuracy over the baseline.",
        "Reject label_smoothing=0.1 (+0.1 pt) and focal_gamma=3+label_smoothing=0.1 (−1.5 pt): "
        "a gain of 0.6 pt is ruled out.",
        "Undecided: focal_gamma=1+label_smoothing=0.1 (+0.5 pt; 12 seeds an arm would decide it at this delta) and "
        "focal_gamma=2+label_smoothing=0.1 (+0.3 pt; more seeds will hardly decide it).",
    )


def test_with_levers_that_may_compose_reject_and_undecided_share_a_sentence(report):
    together = Together(apart=(0.0168, 0.0005), both=0.0029, label="cancel", seeds_needed=None)
    effect = Effect(
        name="focal_gamma=2 × label_smoothing=0.1",
        levels={"focal_gamma": 2.0, "label_smoothing": 0.1},
        references={"focal_gamma": 0.0, "label_smoothing": 0.0},
        n_cells=1, of_cells=1, estimate=-0.0144, se=0.005, df=20, ci_low=-0.025, ci_high=-0.004,
        ci_low_simultaneous=-0.027, ci_high_simultaneous=-0.0012, p_value=0.01, p_adjusted=0.02, p_holm=0.02,
        sentence="They work against each other.", together=together,
    )  # fmt: skip
    kept, open_or_not, composing = answer(replace(report, effects=(effect,)))
    assert kept == answer(report)[0]
    assert open_or_not == (
        "Reject label_smoothing=0.1 (+0.1 pt) and focal_gamma=3+label_smoothing=0.1 (−1.5 pt): a gain of 0.6 pt is "
        "ruled out; undecided: focal_gamma=1+label_smoothing=0.1 (+0.5 pt; 12 seeds an arm would decide it at this "
        "delta) and focal_gamma=2+label_smoothing=0.1 (+0.3 pt; more seeds will hardly decide it)."
    )
    assert composing == (
        "focal_gamma=2 and label_smoothing=0.1 work against each other: together they differ from their sum by "
        "−1.4 pt (−2.70 to −0.12 pt)."
    )


def test_one_winner_has_its_interval(report):
    kept = replace(report, comparisons=report.comparisons[:1])
    assert answer(kept) == (
        "Keep focal_gamma=1 (+0.7 pt), in balanced accuracy over the baseline; "
        "its 95% interval is +0.14 to +1.28 pt.",
    )


def test_no_winner_is_said(report):
    assert answer(only(report, "reject"))[0] == "No arm is shown to beat the baseline in balanced accuracy."


def test_a_way_out_that_all_share_is_said_once(report):
    undecided = tuple(replace(c, seeds_needed=None) for c in only(report, "inconclusive").comparisons)
    assert answer(replace(report, comparisons=undecided))[1] == (
        "Undecided: focal_gamma=1+label_smoothing=0.1 (+0.5 pt) and focal_gamma=2+label_smoothing=0.1 (+0.3 pt); "
        "more seeds will hardly decide it."
    )


def test_a_long_list_is_cut_and_counted(wide):
    assert answer(wide)[0].endswith(" and 6 more, in balanced accuracy over the baseline.")
    assert all(len(sentence) < 400 for sentence in answer(wide))


@pytest.mark.parametrize(
    ("sd", "end"),
    [
        (0.0061, "66.33 over 5 seeds, with a run-to-run standard deviation of 0.61 pt."),
        (None, "66.33 over 5 seeds; its run-to-run noise needs a second seed."),
    ],
)
def test_an_arm_alone_says_its_noise(alone, sd, end):
    (said,) = answer(replace(alone, arms=(replace(alone.arms[0], sd=sd),)))
    assert said == f"baseline alone: balanced accuracy {end}"


def test_at_a_look_the_intervals_are_named_by_their_level_and_the_look_is_said(report):
    look = Look(number=2, of=3, n_seeds=5, alpha=0.00544, spent=0.00557, declared=True, later=(10,))
    strict = replace(report, look=look)
    assert "at look 2 of 3 so strictly that all looks together err in 5 of 100, and speak for" in scope(strict)
    assert "99.46% interval" in render_markdown(strict)
    assert "99.46% interval" in render_html(strict, figures_of(strict))
    assert "95% interval" not in render_markdown(strict).partition("## How much is chance?")[0]


def test_before_the_first_look_the_answer_is_that_there_is_none_yet(report):
    look = Look(number=0, of=2, n_seeds=2, alpha=0.0, spent=0.0, declared=True, later=(3, 10))
    early = replace(report, look=look, comparisons=())
    assert answer(early) == ("No verdict before the first look, at 3 seeds an arm; 2 are complete.",)


@pytest.mark.parametrize("n_costly", [1, 2])
def test_where_every_kept_arm_has_a_cost_the_answer_begins_with_it(report, n_costly):
    free = ("focal_gamma=1", "focal_gamma=2")
    costly = tuple(replace(c, verdict="keep", label="at a cost") for c in report.comparisons if c.arm not in free)[
        :n_costly
    ]
    assert answer(replace(report, comparisons=costly))[0].startswith(
        "Keep, if the cost is accepted, focal_gamma=3 (+1.2 pt, at a cost)"
    )
