"""What an earlier study tells of chance: against least squares, and the closed form written out."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from analysis.earlier import measured
from analysis.metrics import MetricError
from analysis.planning import ASSUMED, Layout
from analysis.study import SourceError

SEEDS = tuple(range(4))


def recalls(study):
    """Balanced accuracy of each run by definition: arm, seed and score."""
    return pd.DataFrame(
        [
            {
                "arm": arm.name,
                "seed": run.seed,
                "score": np.mean([run.outcome.right[study.label == k].mean() for k in range(len(study.classes))]),
            }
            for arm in study.arms
            for run in arm.runs
        ]
    )


def image_variance(study, arm):
    """(1/K^2) sum_k (S2_k(b) - MSE_k / R) / n_k of a paired delta, as docs/statistics.md has it."""
    total, k = 0.0, len(study.classes)
    for c in range(k):
        here = study.label == c
        d = np.array(
            [
                run.outcome.right[here].astype(float) - base.outcome.right[here]
                for run, base in zip(arm.runs, study.arms[0].runs, strict=True)
            ]
        )
        r, n = d.shape
        residual = d - d.mean(axis=0) - d.mean(axis=1, keepdims=True) + d.mean()
        total += (d.mean(axis=0).var(ddof=1) - (residual**2).sum() / ((r - 1) * (n - 1)) / r) / n
    return total / k**2


def test_the_seeds_noise_is_that_of_least_squares_with_and_without_seed_blocks(make_study):
    study = make_study(gains=(0.0, 0.1, -0.1), seeds=SEEDS)
    variation, scores = measured(study), recalls(study)
    assert variation.run_sd**2 == pytest.approx(smf.ols("score ~ arm", scores).fit().mse_resid)
    layout = Layout(n_arms=4, variation=variation)
    assert layout.mean_square(5) == pytest.approx(smf.ols("score ~ arm + C(seed)", scores).fit().mse_resid)
    assert variation.run_sd_from == variation.seed_correlation_from == "measured on 16 runs"


def test_the_images_noise_is_the_mean_over_arms_without_what_is_each_runs_own(make_study):
    study = make_study(gains=(0.4, 0.8), seeds=SEEDS)
    variation = measured(study)
    expected = np.mean([image_variance(study, arm) for arm in study.arms[1:]])
    assert variation.image_sd**2 == pytest.approx(max(0.0, expected))
    assert variation.image_sd_from == "measured on 228 images"


def test_single_runs_tell_no_noise_apart_and_leave_it_assumed(make_study):
    assert measured(make_study(gains=(0.4, 0.4), seeds=(0,))) == ASSUMED


def test_too_few_runs_leave_the_seeds_noise_assumed(make_study):
    variation = measured(make_study(gains=(0.4,), seeds=(0, 1)))
    assert (variation.run_sd, variation.run_sd_from) == (ASSUMED.run_sd, "assumed")
    assert variation.image_sd_from == "measured on 228 images"


def test_a_lone_arm_tells_its_run_to_run_noise_and_no_more(make_study):
    study = make_study(gains=(), seeds=tuple(range(6)))
    variation = measured(study)
    assert variation.run_sd == pytest.approx(recalls(study).score.std())
    assert (variation.seed_correlation_from, variation.image_sd_from) == ("assumed", "not counted")


def test_another_metric_has_other_noise(make_study):
    study = make_study(gains=(0.4,), seeds=SEEDS)
    assert measured(study, metric="nll").run_sd != measured(study).run_sd
    with pytest.raises(MetricError, match="metric must be one of"):
        measured(study, metric="accuracy")


def test_a_study_without_its_baseline_is_refused(make_study):
    study = make_study(seeds=SEEDS)
    with pytest.raises(SourceError, match="the baseline must have a finished run"):
        measured(replace(study, arms=study.arms[1:]))


def test_noise_is_measured_on_all_runs_also_before_the_first_look(make_study):
    study = make_study(gains=(0.4,), seeds=SEEDS)
    declared = replace(study, question=replace(study.question, looks=(10, 20), seeds=SEEDS))
    assert measured(declared) == measured(study)
