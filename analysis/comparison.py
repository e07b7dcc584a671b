"""Arms against a baseline: from a study to the report's record."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.aftertraining import treated_arms
from analysis.deltas import comparisons_of, noise_of
from analysis.effects import effects_of
from analysis.estimates import Design, Estimates, estimate, estimate_scores
from analysis.influence import no_units, units_of
from analysis.interim import at_look
from analysis.labelnoise import label_noise
from analysis.looks import Look
from analysis.noise import RUN_SD
from analysis.records import ArmSummary, Estimand, Report
from analysis.rejudging import relabelled
from analysis.reliability import calibration_of
from analysis.resampling import Draws
from analysis.scores import ScoreTable
from analysis.shrinkage import selection_of
from analysis.study import Arm, Question, SourceError, Study
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
    if table:
        estimand = _of_scores(estimand)
    for name, risk in (("answer_risk", stated.answer), ("top3_risk", stated.top3)):
        _require(0 < risk < 1, name, "be above 0 and below 1", risk)
    looked = at_look(replace(whole, question=question))
    study, draws = looked.study, Draws(n_resamples=n_resamples, seed=seed)
    design = _design(study, estimand=estimand, run_sd=run_sd, draws=draws, look=looked.look)
    names = list(dict.fromkeys([question.primary_metric, *question.guard_metrics]))
    estimates = estimate_scores(design, table, names) if table else estimate(design, names)
    primary = estimates[question.primary_metric]
    report = Report(
        name=question.name,
        question=question.sentence,
        metric=question.primary_metric,
        margin=question.margin,
        estimand=estimand,
        baseline=question.baseline,
        n_images=len(study.label),
        n_groups=len(np.unique(study.group_id)),
        class_names=study.classes,
        run_sd=run_sd,
        n_resamples=design.draws.n_resamples,
        look=design.look,
        arms=tuple(_summary(arm, primary, table) for arm in design.arms),
        comparisons=comparisons_of(design, estimates) if _judges(design) else (),
        noise=noise_of(primary),
        effects=effects_of(primary) if _judges(design) else (),
        problems=study.problems,
        provenance=study.provenance,
    )
    return report if quick or table else _completed(report, design, stated)


def _asked(question: Question, *, metric: str | None, margin: float | None, baseline: str | None) -> Question:
    """The question, with what is named here in the place of its own."""
    named = {"primary_metric": metric, "margin": margin, "baseline": baseline}
    changed: dict[str, Any] = {field: value for field, value in named.items() if value is not None}
    return replace(question, **changed)


def _completed(report: Report, design: Design, stated: Stated) -> Report:
    """The report with all that can be made of the arms' predictions beyond their verdicts."""
    judges = _judges(design)
    return replace(
        report,
        calibration=calibration_of(design.arms),
        posthoc=treated_arms(design) if judges else (),
        abstain=tiers_of(design, stated),
        tail=tail_of(design) if judges else None,
        relabelled=relabelled(report, design),
        label_noise=label_noise(report, design),
        selection=selection_of(report, design),
    )


def _design(study: Study, *, estimand: Estimand, run_sd: float, draws: Draws, look: Look | None) -> Design:
    for name, value in (("margin", study.question.margin), ("run_sd", run_sd)):
        _require(math.isfinite(value), name, "be finite", value)
    _require(study.question.margin >= 0, "margin", "be >= 0", study.question.margin)
    _require(run_sd > 0, "run_sd", "be > 0", run_sd)
    _require(draws.seed >= 0, "seed", "be >= 0", draws.seed)
    _require(draws.n_resamples >= 100, "resamples", "be at least 100", draws.n_resamples)
    _require(draws.n_resamples <= 1_000_000, "resamples", "be at most 1,000,000", draws.n_resamples)
    n_groups = len(np.unique(study.group_id))
    _require(n_groups != 1, "the test set", "have at least two groups of images to draw from", n_groups)
    names = [arm.name for arm in study.arms]
    if study.question.baseline in {*study.question.arms} - {*names}:
        raise SourceError(f"the baseline must have a finished run: {'; '.join(study.problems)}")
    _require(
        study.question.baseline in names,
        "baseline",
        f"be one of the arms {', '.join(names)}",
        study.question.baseline,
    )
    return Design(
        study=study,
        units=units_of(study.label, study.group_id, len(study.classes)) if n_groups else no_units(),
        estimand=estimand,
        run_sd=run_sd,
        draws=draws.beyond(look.alpha) if look and look.judges else draws,
        look=look,
        baseline=study.arms[names.index(study.question.baseline)],
        others=tuple(arm for arm in study.arms if arm.name != study.question.baseline),
    )


def _of_scores(estimand: Estimand) -> Estimand:
    """What scores alone can speak for."""
    _require(estimand != "images", "estimand", "be seeds where scores alone are known", estimand)
    return "seeds"


def _summary(arm: Arm, primary: Estimates, table: ScoreTable | None) -> ArmSummary:
    values = primary.runs[arm.name].scores
    if table:
        return summarise_scores(arm, table.scores[arm.name], values)
    return summarise(arm, values, primary.design.study.classes)


def _judges(design: Design) -> bool:
    """Whether arms are compared at all: not before the first declared look."""
    return design.look is None or design.look.judges


def _require(holds: bool, name: str, must: str, got: object) -> None:
    if not holds:
        raise SourceError(f"{name} must {must}, got {got!r}")
