import math

import pytest
from scipy import stats

from analysis.composition import Pair, compose
from tests.analysis.test_verdicts import evidence

GAMMA, SMOOTHING = "focal_gamma=2", "label_smoothing=0.1"


def pair(difference, one=0.0046, other=0.0015, over=""):
    """Two levels whose gains miss their sum by `difference`."""
    return Pair(names=(GAMMA, SMOOTHING), both=one + other + difference, apart=(one, other), means_over=over)


def composed(difference, half, **options):
    return compose(pair(difference), evidence(difference, half, **options))


CASES = {
    "within the margin": (
        composed(-0.0001, 0.0039),
        "compose",
        "focal_gamma=2 and label_smoothing=0.1 together: +0.60 pt, apart +0.46 and +0.15; "
        "the difference, −0.01 pt (−0.40 to +0.38 pt), lies within the margin of 0.6 pt either way: they compose.",
    ),
    "not nought, and within the margin": (
        composed(0.003, 0.002),
        "compose",
        "focal_gamma=2 and label_smoothing=0.1 together: +0.91 pt, apart +0.46 and +0.15; "
        "the difference, +0.30 pt (+0.10 to +0.50 pt), lies within the margin of 0.6 pt either way: they compose.",
    ),
    "more than the sum": (
        composed(0.0121, 0.009),
        "reinforce",
        "focal_gamma=2 and label_smoothing=0.1 together: +1.82 pt, apart +0.46 and +0.15; "
        "the difference, +1.21 pt (+0.31 to +2.11 pt), lies above 0: together they do better than their sum.",
    ),
    "less than the sum": (
        composed(-0.0121, 0.009),
        "cancel",
        "focal_gamma=2 and label_smoothing=0.1 together: −0.60 pt, apart +0.46 and +0.15; "
        "the difference, −1.21 pt (−2.11 to −0.31 pt), lies below 0: together they do worse than their sum.",
    ),
    "more, where lower is better": (
        composed(0.0121, 0.009, metric="ece", higher=False),
        "cancel",
        "focal_gamma=2 and label_smoothing=0.1 together: +1.82 pt, apart +0.46 and +0.15; "
        "the difference, +1.21 pt (+0.31 to +2.11 pt), lies above 0: together they do worse than their sum.",
    ),
    "less, where lower is better": (
        composed(-0.0121, 0.009, metric="nll", higher=False),
        "reinforce",
        "focal_gamma=2 and label_smoothing=0.1 together: −0.0060, apart +0.0046 and +0.0015; "
        "the difference, −0.0121 (−0.0211 to −0.0031), lies below 0: together they do better than their sum.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_label_says_its_own_numbers(case):
    found, label, sentence = CASES[case]
    assert (found.label, found.sentence, found.seeds_needed) == (label, sentence, None)


def test_what_is_undecided_says_how_many_seeds_would_decide_it():
    found = composed(-0.0101, 0.019)
    assert found.label == "undecided"
    assert found.sentence == (
        "focal_gamma=2 and label_smoothing=0.1 together: −0.40 pt, apart +0.46 and +0.15; "
        "the difference, −1.01 pt (−2.91 to +0.89 pt), leaves open whether they compose; "
        f"at this difference {found.seeds_needed} seeds an arm would decide it."
    )
    single = 5 * (0.019 / 2.776) ** 2
    half = {n: stats.t.ppf(0.975, n - 1) * math.sqrt(single / n) for n in range(6, 20)}
    assert found.seeds_needed == min(n for n in half if half[n] < 0.0101)


def test_a_difference_near_nought_is_decided_when_its_interval_fits_into_the_margin():
    found = composed(-0.0001, 0.019)
    single = 5 * (0.019 / 2.776) ** 2
    half = {n: stats.t.ppf(0.975, n - 1) * math.sqrt(single / n) for n in range(6, 60)}
    assert found.seeds_needed == min(n for n in half if 0.0001 + half[n] < 0.006)


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ({"img": 0.01**2}, "more seeds cannot decide it: the test set's rare classes limit the interval."),
        (
            {"estimand": "images"},
            "more seeds cannot decide it: these checkpoints are fixed, only more images would.",
        ),
        ({"seeds": 2, "assumed": True}, "this rests on an assumed run-to-run noise, not on a measured one."),
    ],
)
def test_what_stands_in_the_way_of_a_decision_is_said(options, end):
    found = composed(-0.0001, 0.019, **options)
    assert found.label == "undecided"
    assert found.sentence.endswith(f"; {end}")


def test_means_over_other_levers_are_said_to_be_means():
    found = compose(pair(0.0121, over="3 settings of sampler_power"), evidence(0.0121, 0.009))
    assert "apart +0.46 and +0.15 (means over 3 settings of sampler_power); the difference" in found.sentence
