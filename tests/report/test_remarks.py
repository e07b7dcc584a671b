from dataclasses import replace

import pytest

from analysis.looks import Look
from analysis.report.remarks import remarks


def stepped(report, p_adjusted, look=None):
    """The first arm's p is small although the interval over all arms holds nought."""
    first, *others = report.comparisons
    odd = replace(first, ci_low_simultaneous=-0.0004, p_adjusted=p_adjusted)
    return replace(report, comparisons=(odd, *others), look=look)


def look(alpha, number=1):
    return Look(number=number, of=3, n_seeds=5, alpha=alpha, spent=alpha, declared=True, later=(10,))


def test_a_p_that_steps_past_the_interval_is_explained(report):
    (remark,) = [r for r in remarks(stepped(report, 0.031)) if "p adj." in r.text]
    assert (remark.where, remark.problem) == ("focal_gamma=1", False)
    assert remark.text == (
        "p adj. is at most 0.05 although the interval over all arms holds 0: p adj. steps down past arms that are "
        "clear already, the interval does not, and the verdict follows the interval"
    )


def test_a_p_that_is_small_but_not_for_an_early_look_is_explained(report):
    early = look(0.00557)
    (strict,) = [r.text for r in remarks(stepped(report, 0.031, early)) if "p adj." in r.text]
    assert strict.endswith("holds 0: this look asks for a p of at most 0.0056, and its interval is as strict")
    (stepping,) = [r.text for r in remarks(stepped(report, 0.004, early)) if "p adj." in r.text]
    assert "steps down" in stepping


@pytest.mark.parametrize("odd", [(0.051, None), (0.031, look(0.0, number=0))])
def test_a_p_that_agrees_with_the_interval_or_judges_nothing_needs_no_word(report, odd):
    assert not any("p adj." in remark.text for remark in remarks(stepped(report, *odd)))
    assert not any("p adj." in remark.text for remark in remarks(report))
