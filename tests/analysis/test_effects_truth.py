"""The grid's effects, held to statsmodels, to formulas written out by hand and to simulated truths."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from sklearn.metrics import f1_score

from analysis.effects import crossing, effects_of, grid_of
from tests.analysis.grids import (
    FOUR_BY_TWO,
    GAMMA,
    SMOOTHING,
    TWO_BY_TWO,
    crossed,
    effects,
    estimates_of,
)


def table(estimates):
    """One row a run, scores in points."""
    return pd.DataFrame(
        [
            {**arm.levers, "seed": seed, "score": 100 * score}
            for arm in estimates.design.arms
            for seed, score in zip(estimates.runs[arm.name].seeds, estimates.runs[arm.name].scores, strict=True)
        ]
    )


def of_terms(names, weights):
    """The contrast of a fitted model's terms, [1, P], that gives each term named here its weight."""
    return np.asarray([[weights.get(name, 0.0) for name in names]])


def gamma(level):
    return f"C(focal_gamma)[T.{level:.1f}]"


OF_SMOOTHING = "C(label_smoothing)[T.0.1]"
AS_TERMS = {
    "focal_gamma=2": {gamma(2): 1, f"{gamma(2)}:{OF_SMOOTHING}": 1 / 2},
    "label_smoothing=0.1": {OF_SMOOTHING: 1, **{f"{gamma(g)}:{OF_SMOOTHING}": 1 / 4 for g in (1, 2, 3)}},
    "focal_gamma=3 × label_smoothing=0.1": {f"{gamma(3)}:{OF_SMOOTHING}": 1},
}
"""Effects in the terms of a model with an intercept for the baseline's cell."""


@pytest.mark.parametrize("effect", AS_TERMS)
def test_effect_standard_error_and_degrees_of_freedom_are_those_of_least_squares_with_seeds_as_blocks(effect):
    estimates = estimates_of(crossed(FOUR_BY_TWO, rng_seed=1), estimand="seeds")
    fitted = smf.ols("score ~ C(focal_gamma) * C(label_smoothing) + C(seed)", table(estimates)).fit()
    noise = estimates.noise
    assert 1e4 * noise.blocks.variance == pytest.approx(fitted.mse_resid, rel=1e-9)
    assert noise.blocks.df == fitted.df_resid == (8 - 1) * (4 - 1)
    ours = {found.name: found for found in effects_of(estimates)}[effect]
    theirs = fitted.t_test(of_terms(fitted.params.index, AS_TERMS[effect]))
    assert (100 * ours.estimate, 100 * ours.se) == pytest.approx((theirs.effect[0], theirs.sd[0, 0]), rel=1e-9)
    assert ours.df == pytest.approx(fitted.df_resid)
    assert ours.p_value == pytest.approx(float(theirs.pvalue), abs=0.03)
    assert (100 * ours.ci_low, 100 * ours.ci_high) == pytest.approx(theirs.conf_int()[0], abs=0.5 * theirs.sd[0, 0])


def test_a_mixed_model_with_seeds_drawn_at_random_finds_the_same_effects_and_errors():
    estimates = estimates_of(crossed(FOUR_BY_TWO, shared=0.08, seed_sd=0.02, rng_seed=3), estimand="seeds")
    rows = table(estimates)
    model = smf.mixedlm("score ~ C(focal_gamma) * C(label_smoothing)", rows, groups=rows["seed"])
    fitted = model.fit(reml=True, method="lbfgs")
    assert float(fitted.cov_re.iloc[0, 0]) > 0
    ours = {found.name: found for found in effects_of(estimates)}
    for effect, terms in AS_TERMS.items():
        weights = of_terms(fitted.fe_params.index, terms)[0]
        cov = fitted.cov_params().loc[fitted.fe_params.index, fitted.fe_params.index]
        assert 100 * ours[effect].estimate == pytest.approx(weights @ fitted.fe_params, rel=1e-6)
        assert 100 * ours[effect].se == pytest.approx(math.sqrt(weights @ cov @ weights), rel=1e-3)


def test_the_images_part_of_an_interaction_is_the_formula_by_hand():
    study = crossed(TWO_BY_TWO, n_seeds=3, sizes=(5, 3, 2), rng_seed=2)
    signs = {
        "focal_gamma=2+label_smoothing=0.1": 1,
        "focal_gamma=2": -1,
        "label_smoothing=0.1": -1,
        "baseline": 1,
    }
    per_image = [
        sum(signs[arm.name] * np.mean([run.outcome.right[j] for run in arm.runs]) for arm in study.arms)
        for j in range(10)
    ]
    by_class = [per_image[:5], per_image[5:8], per_image[8:]]
    found = effects(study, estimand="images")["focal_gamma=2 × label_smoothing=0.1"]
    assert found.estimate == pytest.approx(np.mean([np.mean(b) for b in by_class]))
    assert found.se**2 == pytest.approx(sum(np.var(b, ddof=1) / len(b) for b in by_class) / 9)


def test_an_effect_on_macro_f1_is_the_weighted_sum_of_what_scikit_learn_measures():
    study = crossed(TWO_BY_TWO)
    f1 = {
        arm.name: np.mean([f1_score(r.outcome.label, r.outcome.predicted, average="macro") for r in arm.runs])
        for arm in study.arms
    }
    found = effects(study, "macro_f1")["focal_gamma=2 × label_smoothing=0.1"]
    by_hand = f1["focal_gamma=2+label_smoothing=0.1"] - f1["focal_gamma=2"] - f1["label_smoothing=0.1"]
    assert found.estimate == pytest.approx(by_hand + f1["baseline"])
    assert found.ci_low < found.estimate < found.ci_high


def test_gains_that_add_up_in_truth_are_held_by_nineteen_intervals_in_twenty():
    held = []
    for rng_seed in range(200):
        additive = crossed(
            TWO_BY_TWO,
            chance=lambda levers: 0.45 + 0.05 * levers[GAMMA] + levers[SMOOTHING],
            n_seeds=3,
            rng_seed=rng_seed,
        )
        estimates = estimates_of(additive, n_resamples=400)
        pair = crossing(grid_of(estimates.design), {GAMMA: 2.0, SMOOTHING: 0.1})
        (found,) = estimates.infer([estimates.contrast("pair", pair.coefficients)])
        held.append(found.simultaneous.low <= 0 <= found.simultaneous.high)
    assert 0.91 <= np.mean(held) <= 0.99  # three standard errors of 200 draws


@pytest.mark.parametrize(("more", "label"), [(0.35, "reinforce"), (-0.35, "cancel")])
def test_an_interaction_in_truth_is_found_with_its_sign(more, label):
    study = crossed(
        TWO_BY_TWO,
        chance=lambda levers: 0.5 + more / 2 * (levers[GAMMA] == 2) * (levers[SMOOTHING] > 0),
        sizes=(400, 300, 200),
        n_seeds=5,
        seed_sd=0.02,
    )
    found = effects(study)["focal_gamma=2 × label_smoothing=0.1"]
    assert found.together.label == label
    assert found.ci_low < more / 2 < found.ci_high
    assert found.p_adjusted < 0.001
