"""What adaptive repeats reach, over drawn sweeps: the error of all looks together, and trials that are spared."""

from functools import partial

import numpy as np
import pytest

from analysis.planning import Variation
from analysis.sequential import Truth, drawn_scores, expected_trials, fixed, followed
from analysis.simulation.repeats import LOOKS, MARGIN, MIXED, outcome_of, repeats, replicated
from analysis.simulation.studies import Size


def truth(deltas, *, image_sd=0.0):
    return Truth(deltas=tuple(deltas), variation=Variation(image_sd=image_sd), margin=MARGIN)


def outcomes(deltas, n_sets, *, looks=LOOKS, image_sd=0.0, rng_seed=0):
    sweeps = drawn_scores(truth(deltas, image_sd=image_sd), n_seeds=looks[-1], n_sets=n_sets, rng_seed=rng_seed)
    return [outcome_of(sweep, looks) for sweep in sweeps]


def share(values):
    return float(np.mean(list(values)))


def test_the_closed_form_decides_as_the_reports_replicates_do():
    # Where their courses differ, an end of an interval lies within the replicates' scatter of what it decides by.
    looks = (3, 5, 8)
    for sweep in drawn_scores(truth(MIXED), n_seeds=8, n_sets=5, rng_seed=3):
        closed, drawn = (
            followed(sweep, looks),
            followed(sweep, looks, stands=partial(replicated, n_resamples=200_000)),
        )
        for arm, one in closed.standings.items():
            other = drawn.standings[arm]
            if closed.course.n_seeds(arm) == drawn.course.n_seeds(arm):
                assert other.high - other.low == pytest.approx(one.high - one.low, rel=0.04)
            else:
                nearest = min(abs(s.low) for s in (one, other)), min(abs(s.high - MARGIN) for s in (one, other))
                assert min(nearest) < 0.04 * (one.high - one.low)


def test_all_looks_together_err_in_no_more_sweeps_than_one_would():
    assert share(o.errs for o in outcomes([0.0] * 3, 300, looks=(3, 5, 8))) <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


def test_judged_again_at_the_last_look_stopped_arms_have_the_intervals_of_that_look_on_their_own_seeds():
    (sweep,) = drawn_scores(truth([0.0, 0.03]), n_seeds=8, n_sets=1, rng_seed=0)
    end, outcome = followed(sweep, (3, 5, 8)), outcome_of(sweep, (3, 5, 8))
    assert (end.course.n_seeds("arm1"), end.course.n_seeds("arm2")) == (8, 3)
    (open_then, stopped_then), (open_now, stopped_now) = outcome.standings, outcome.at_last
    assert open_now == open_then
    assert stopped_now.gain == pytest.approx(sweep.scores[2, :3].mean() - sweep.scores[0].mean())
    assert stopped_now.high - stopped_now.low < stopped_then.high - stopped_then.low


def test_large_effects_cost_less_than_half_and_those_between_no_gain_and_the_margin_cost_nearly_all():
    assert share(o.share for o in outcomes([0.02] * 3, 40)) < 0.5
    assert share(o.share for o in outcomes([0.003] * 3, 40)) > 0.9


def test_fixed_repeats_of_as_many_seeds_as_the_last_look_find_hardly_more():
    sweeps = list(drawn_scores(truth([MARGIN] * 3), n_seeds=20, n_sets=100, rng_seed=1))
    once = share(standing.low > 0 for sweep in sweeps for standing in fixed(sweep, 20).values())
    assert once - 0.05 < share(outcome_of(sweep, LOOKS).kept for sweep in sweeps) <= once + 0.02


def test_what_is_foretold_is_what_drawn_sweeps_take():
    drawn = share(o.share for o in outcomes([0.015] * 3, 20)) * 4 * 20
    assert expected_trials(truth([0.015] * 3), LOOKS, n_seeds=20) == pytest.approx(drawn)
    assert expected_trials(truth([0.015] * 3), LOOKS, n_seeds=8) <= 4 * 8


def test_every_figure_of_the_study_is_made_at_any_size():
    cells = {cell.name: cell for cell in repeats((3, 5, 8))}
    size = Size(n_sets=3, n_resamples=200, rng_seed=0)
    some = ("7 unlike arms", "1 arm of the margin", "7 arms of +0.0 pt, by replicates")
    methods = {row.method for name in some for row in cells[name].rows(size)}
    assert methods == {
        "an interval misses", "misses at the last look", "keeps wrongly", "arms kept", "arms rejected",
        "arms given up", "trials, of fixed", "fixed: arms kept",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deltas", "image_sd"), [([0.0] * 7, 0.0), ([0.0] * 7, 0.003), (MIXED, 0.0), ([0.0], 0.0), ([0.006] * 7, 0.0)]
)
def test_in_two_thousand_sweeps_the_intervals_of_all_arms_hold_as_often_as_they_say(deltas, image_sd):
    found = outcomes(deltas, 2000, image_sd=image_sd)
    assert share(o.errs for o in found) <= 0.05 + 2 * (0.05 * 0.95 / 2000) ** 0.5
    assert share(o.keeps_wrongly for o in found) <= 0.03
