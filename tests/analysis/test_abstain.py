"""Thresholds that keep their promise, and curves that are what their definition says."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from analysis.abstain import (
    LEVEL,
    aurc,
    aurc_values,
    errors_at,
    first_tested,
    lowest_threshold,
    rejects,
    risk_values,
)

RISK = 0.1
N_VALS = 1000
MOST_BROKEN = (1 - LEVEL) + 2.6 * np.sqrt(LEVEL * (1 - LEVEL) / N_VALS)
"""Share of the drawn vals whose threshold may break the risk: 5% and the simulation's own error."""


def alone(n):
    return np.arange(n)


def bound(n_wrong, n):
    """Clopper and Pearson's, by scipy."""
    found = stats.binomtest(int(n_wrong), int(n), alternative="less")
    return found.proportion_ci(confidence_level=LEVEL, method="exact").high


def broken(val, levels, risks, *, grouped=True):
    """Whether the threshold of one val breaks the risk, where `risks` is that at or above each of `levels`."""
    confidence, wrong, group = val
    threshold = lowest_threshold(confidence, wrong, group if grouped else alone(len(wrong)), risk=RISK)
    return threshold is not None and risks[np.searchsorted(levels, threshold)] > RISK


def lesions(rng, n, *, sizes=(1, 2, 3, 4)):
    """Images of n lesions: those of one lesion are right or wrong together, and about as confident."""
    size = rng.choice(sizes, n)
    sure = rng.uniform(0, 1, n)
    wrong = rng.uniform(0, 1, n) < 0.5 * (1 - sure)
    group = np.repeat(np.arange(n), size)
    confidence = sure[group] + rng.normal(0, 0.01, len(group))
    return confidence, wrong[group], group


@pytest.mark.parametrize("risk", [0.02, 0.1, 0.3])
def test_a_threshold_passes_where_clopper_and_pearsons_bound_keeps_to_the_risk(risk):
    n = np.repeat([20, 60, 150, 400], 6)
    n_wrong = np.tile([0, 1, 2, 4, 9, 20], 4)
    assert rejects(n_wrong, n, risk).tolist() == [bound(k, m) <= risk for k, m in zip(n_wrong, n, strict=True)]


@pytest.mark.parametrize(("risk", "fewest"), [(0.05, 153), (0.1, 76), (0.2, 37)])
def test_the_first_threshold_has_the_fewest_groups_that_half_the_risk_would_pass_with(risk, fewest):
    assert next(n for n in range(1, 1000) if bound(np.floor(risk / 2 * n), n) <= risk) == fewest
    assert first_tested(risk, 1000) == fewest
    assert first_tested(risk, fewest - 1) == fewest


@pytest.mark.parametrize("rng_seed", range(5))
def test_the_threshold_is_the_last_that_passes_before_the_first_that_does_not(rng_seed):
    rng = np.random.default_rng(rng_seed)
    confidence, wrong, group = lesions(rng, 300)
    confidence = confidence.round(2)  # with ties
    last = None
    for level in np.unique(confidence)[::-1]:
        above = confidence >= level
        n, n_wrong = len(set(group[above])), len(set(group[above & wrong]))
        if n < first_tested(RISK, 1000):
            continue
        if bound(n_wrong, n) > RISK:
            break
        last = level
    assert lowest_threshold(confidence, wrong, group, risk=RISK) == last


def test_a_groups_worst_image_is_its_vote():
    confidence = np.linspace(1, 0.5, 200)
    wrong = np.zeros(200, dtype=bool)
    wrong[1::2] = True
    assert lowest_threshold(confidence, wrong, np.repeat(alone(100), 2), risk=RISK) is None
    assert lowest_threshold(confidence, ~wrong & wrong, np.repeat(alone(100), 2), risk=RISK) == 0.5


@pytest.mark.parametrize("n", [0, 1, first_tested(RISK, 1000) - 1])
def test_too_few_images_bear_no_threshold_however_right_they_are(n):
    assert lowest_threshold(np.linspace(1, 0.5, n), np.zeros(n, dtype=bool), alone(n), risk=RISK) is None


def test_the_lower_tier_counts_only_what_lies_below_the_higher_one():
    confidence = np.linspace(1, 0, 400)
    wrong = confidence >= 0.5
    found = lowest_threshold(confidence, wrong, alone(400), risk=RISK, below=0.5)
    assert found == 0
    assert lowest_threshold(confidence, wrong, alone(400), risk=RISK) is None


def test_in_95_of_100_vals_the_risk_stays_within_the_stated_one_and_thresholds_are_not_timid():
    rng = np.random.default_rng(0)
    n_broken, thresholds = 0, []
    for _ in range(N_VALS):
        confidence = rng.uniform(0, 1, 800)
        wrong = rng.uniform(0, 1, 800) < 0.5 * (1 - confidence)  # the risk at or above t is (1 - t) / 4
        found = lowest_threshold(confidence, wrong, alone(800), risk=RISK)
        n_broken += found is not None and found < 1 - 4 * RISK
        thresholds.append(1.0 if found is None else found)
    assert 0.01 < n_broken / N_VALS <= MOST_BROKEN
    assert np.median(thresholds) < 0.8


def test_a_threshold_that_is_searched_for_without_a_sequence_breaks_its_promise():
    rng = np.random.default_rng(0)
    n_broken = 0
    for _ in range(300):
        wrong = rng.uniform(0, 1, 800) < 1.1 * RISK  # no threshold is within the risk
        n_above = np.arange(1, 801)
        n_broken += bool(rejects(wrong.cumsum(), n_above, RISK).any())
    assert n_broken / 300 > 2 * (1 - LEVEL)


def test_no_threshold_is_found_where_there_is_none_to_be_found_but_in_5_of_100_vals():
    rng = np.random.default_rng(1)
    n_found = 0
    for _ in range(N_VALS):
        wrong = rng.uniform(0, 1, 500) < 1.001 * RISK
        n_found += lowest_threshold(rng.uniform(0, 1, 500), wrong, alone(500), risk=RISK) is not None
    assert n_found / N_VALS <= MOST_BROKEN


def test_images_of_a_lesion_count_once_or_the_promise_breaks():
    rng = np.random.default_rng(2)
    confidence, wrong, _ = lesions(rng, 200_000)
    descending = np.argsort(-confidence)
    levels, risks = confidence[descending][::-1], (wrong[descending].cumsum() / np.arange(1, len(wrong) + 1))[::-1]
    vals = [lesions(rng, 300) for _ in range(N_VALS)]
    honest = np.mean([broken(val, levels, risks) for val in vals])
    naive = np.mean([broken(val, levels, risks, grouped=False) for val in vals])
    assert honest <= MOST_BROKEN
    assert naive > MOST_BROKEN


def test_the_lower_tiers_promise_holds_though_both_thresholds_come_from_one_val():
    rng = np.random.default_rng(3)
    n_broken = n_found = 0
    for _ in range(N_VALS):
        confidence, fate = rng.uniform(0, 1, 1500), rng.uniform(0, 1, 1500)
        missed = fate < 0.95 * (1 - confidence) ** 4
        wrong = missed | (fate < 0.5 * (1 - confidence))  # what is missed is wrong too
        answer = lowest_threshold(confidence, wrong, alone(1500), risk=RISK) or 1.0
        found = lowest_threshold(confidence, missed, alone(1500), risk=RISK, below=answer)
        if found is not None:
            risk = 0.19 * ((1 - found) ** 5 - (1 - answer) ** 5) / (answer - found)  # the mean between the two
            n_found, n_broken = n_found + 1, n_broken + (risk > RISK)
    assert n_found > 0.5 * N_VALS
    assert n_broken / N_VALS <= MOST_BROKEN


def test_the_aurc_is_the_mean_of_the_errors_of_ever_more_images():
    rng = np.random.default_rng(4)
    confidence = rng.permutation(np.linspace(0, 1, 60))
    wrong = rng.uniform(0, 1, 60) < 0.4
    naive = np.mean([wrong[confidence >= level].mean() for level in confidence])
    assert aurc(confidence, wrong) == pytest.approx(naive)


def test_of_equal_confidences_the_aurc_is_the_mean_over_their_orders():
    wrong = np.array([True, False, False, True, False])
    confidence = np.array([0.9, 0.9, 0.5, 0.5, 0.5])
    orders = [(*first, *second) for first in permutations((0, 1)) for second in permutations((2, 3, 4))]
    naive = [np.mean([wrong[list(order[: i + 1])].mean() for i in range(5)]) for order in orders]
    assert aurc(confidence, wrong) == pytest.approx(np.mean(naive))


def test_of_a_perfect_order_the_aurc_is_what_geifman_and_others_give():
    # Geifman et al. 2019, equation 2: the optimal AURC is about r + (1 - r) ln(1 - r) at an error rate r.
    n, rate = 20_000, 0.3
    wrong = np.arange(n) >= (1 - rate) * n
    assert aurc(-np.arange(n, dtype=float), wrong) == pytest.approx(rate + 0.7 * np.log(0.7), abs=1e-4)


def without_each(score, *arrays):
    """The score without each image, [N]."""
    return np.array([score(*(np.delete(array, i) for array in arrays)) for i in range(len(arrays[0]))])


def test_the_aurcs_values_have_it_for_mean_and_each_images_influence_for_spread():
    rng = np.random.default_rng(5)
    confidence = rng.uniform(0, 1, 400)
    wrong = rng.uniform(0, 1, 400) < 1 - confidence
    values = aurc_values(confidence, wrong)
    assert values.mean() == pytest.approx(aurc(confidence, wrong))
    jackknifed = without_each(aurc, confidence, wrong)
    assert np.corrcoef(values, -jackknifed)[0, 1] > 0.999
    assert values.std() == pytest.approx(399 * jackknifed.std(), rel=0.02)


def test_the_aurcs_values_have_it_for_mean_where_confidences_are_equal():
    rng = np.random.default_rng(6)
    confidence, wrong = rng.uniform(0, 1, 200).round(1), rng.uniform(0, 1, 200) < 0.3
    assert aurc_values(confidence, wrong).mean() == pytest.approx(aurc(confidence, wrong))


def test_the_risks_values_have_it_for_mean_and_each_images_influence_for_spread():
    rng = np.random.default_rng(7)
    answered, wrong = rng.uniform(0, 1, 400) < 0.6, rng.uniform(0, 1, 400) < 0.3
    values = risk_values(answered, wrong)
    assert values.mean() == pytest.approx(wrong[answered].mean())
    jackknifed = without_each(lambda a, w: w[a].mean(), answered, wrong)
    assert np.corrcoef(values, -jackknifed)[0, 1] > 0.999


def test_a_curve_is_the_error_of_the_most_confident_share():
    rng = np.random.default_rng(8)
    confidence, wrong = rng.permutation(np.linspace(0, 1, 50)), rng.uniform(0, 1, 50) < 0.3
    order = np.argsort(-confidence)
    coverage = np.array([0.02, 0.3, 0.5, 1.0])
    expected = [wrong[order[:k]].mean() for k in (1, 15, 25, 50)]
    assert errors_at(coverage, confidence, wrong) == pytest.approx(expected)
