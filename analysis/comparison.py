"""Arms against a baseline: from a study to the report's record."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.aftertraining import treated_arms
from analysis.deltas import noise_of
from analysis.effects import effects_of
from analysis.estimates import Estimates
from analysis.judging import Asking, Sitting, require, sit
from analysis.labelnoise import label_noise
from analysis.metrics import MetricError
from analysis.noise import RUN_SD
from analysis.records import ArmSummary, Comparison, Estimand, Report
from analysis.rejudging import relabelled
from analysis.reliability import calibration_of
from analysis.resampling import Draws
from analysis.scores import ScoreTable
from analysis.shrinkage import selection_of
from analysis.study import Arm, Question, Study, as_given
from analysis.summaries import summarise, summarise_scores
from analysis.tail import tail_of
from analysis.tiers import Stated, tiers_of


def compare(
    source: Study | ScoreTable,
    *,
    metric: str | None = None,
    margin: float | None = None,
    estimand: Estimand = "both",
    baseline: str | None = None,
    n_resamples: int = 10_000,
    seed: int = 0,
    run_sd: float = RUN_SD,
    stated: Stated = Stated(),  # noqa: B008 frozen
    quick: bool = False,
) -> Report:
    """Every arm against the baseline on one metric, with a verdict each; the same input gives the same report.

    Args:
        source: arms tested on the same images, or scores alone, whose intervals speak for `seeds`.
        metric: name of the metric; None takes the study's.
        margin: smallest difference that matters, as a fraction; None takes the study's.
        estimand: the population that the intervals speak for.
        baseline: name of the baseline arm; None takes the study's.
        n_resamples: replicates of the bootstrap.
        seed: seed of its draws.
        run_sd: run-to-run standard deviation to assume of an arm with one run, as a fraction.
        stated: risks that the thresholds of the three tiers must keep.
        quick: judge the arms and leave out all else that can be made of their predictions.

    Raises MetricError for a metric that there is not, SourceError for a baseline that there is not.
    """
    table, whole = (source, source.study) if isinstance(source, ScoreTable) else (None, source)
    question = _asked(whole.question, metric=metric, margin=margin, baseline=baseline)
    for name, risk in (("answer_risk", stated.answer), ("top3_risk", stated.top3)):
        require(0 < risk < 1, name, "be above 0 and below 1", risk)
    asking = Asking(
        estimand=_of_scores(estimand) if table else estimand,
        run_sd=run_sd,
        draws=Draws(n_resamples=n_resamples, seed=seed),
        table=table,
    )
    asked = whole if question == whole.question else replace(whole, question=question)
    sitting = sit(asked, whole, asking)
    report = _report(sitting, table)
    return report if quick or table else _completed(report, sitting, stated, _given(asked, whole, asking))


def _report(sitting: Sitting, table: ScoreTable | None) -> Report:
    """Every arm with its verdict, and nothing besides."""
    design, primary, study = sitting.design, sitting.primary, sitting.study
    question = study.question
    return Report(
        name=question.name,
        question=question.sentence,
        metric=question.primary_metric,
        margin=question.margin,
        estimand=design.estimand,
        baseline=question.baseline,
        n_images=len(study.label),
        n_groups=len(np.unique(study.group_id)),
        class_names=study.classes,
        run_sd=design.run_sd,
        n_resamples=design.draws.n_resamples,
        look=design.look,
        arms=tuple(_summary(arm, primary, table) for arm in design.arms),
        comparisons=sitting.comparisons,
        noise=noise_of(primary),
        effects=effects_of(primary) if sitting.judges else (),
        repeats=sitting.repeats,
        problems=study.problems,
        provenance=study.provenance,
    )


def _asked(question: Question, *, metric: str | None, margin: float | None, baseline: str | None) -> Question:
    """The question, with what is named here in the place of its own."""
    named = {"primary_metric": metric, "margin": margin, "baseline": baseline}
    changed: dict[str, Any] = {field: value for field, value in named.items() if value is not None}
    return replace(question, **changed)


def _given(asked: Study, own: Study, asking: Asking) -> tuple[Comparison, ...]:
    """The comparisons by the labels as given; none where none was corrected, or the metric has no image by them."""
    if asked.corrected is None:
        return ()
    try:
        return sit(as_given(asked), own, asking).comparisons
    except MetricError:
        return ()


def _completed(report: Report, sitting: Sitting, stated: Stated, given: Sequence[Comparison]) -> Report:
    """The report with all that can be made of the arms' predictions beyond their verdicts."""
    design = sitting.design
    return replace(
        report,
        calibration=calibration_of(design.arms),
        posthoc=treated_arms(design) if sitting.judges else (),
        abstain=tiers_of(design, stated),
        tail=tail_of(design) if sitting.judges else None,
        relabelled=relabelled(report, design, given),
        label_noise=label_noise(report, design),
        selection=selection_of(report, design),
    )


def _of_scores(estimand: Estimand) -> Estimand:
    """What scores alone can speak for."""
    require(estimand != "images", "estimand", "be seeds where scores alone are known", estimand)
    return "seeds"


def _summary(arm: Arm, primary: Estimates, table: ScoreTable | None) -> ArmSummary:
    values = primary.runs[arm.name].scores
    if table:
        return summarise_scores(arm, table.scores[arm.name], values)
    return summarise(arm, values, primary.design.study.classes)
