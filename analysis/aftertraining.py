"""Arms that are made after training, each judged against the same checkpoints without its treatment."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from analysis.estimates import Design, guarded, infer_family, judged, linearly
from analysis.findings.posthoc import Change, TreatedArm
from analysis.inference import Inference
from analysis.influence import measure
from analysis.metrics import Floats, Metric, Outcome, class_sizes, metric_named
from analysis.pairs import Paired, paired_contrasts
from analysis.reliability import spread
from analysis.resampling import exact_image_deviations
from analysis.study import Arm
from analysis.treatments import FOCAL_INVERSE, HFLIP, TEMPERATURE, TREATMENTS
from analysis.variance import Contrast

ANEW_RESAMPLES = 2000
"""Replicates at most behind an interval of the ECE and its like, for which every run is scored anew.

Of the report's own metric there are as many as were asked for: a verdict rests on it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One arm with one treatment, in every run."""

    arm: Arm
    treatment: str

    @property
    def name(self) -> str:
        """`baseline+hflip`."""
        return f"{self.arm.name}+{self.treatment}"

    @property
    def before(self) -> list[tuple[int, Outcome]]:
        """Each seed's outcome as trained."""
        return [(run.seed, run.outcome) for run in self.arm.runs]

    @property
    def after(self) -> list[tuple[int, Outcome]]:
        """Each seed's outcome, treated."""
        return [(run.seed, run.posthoc.treated[self.treatment]) for run in self.arm.runs if run.posthoc]

    @property
    def fitted(self) -> list[float]:
        """What each run chose on `val`."""
        of_runs = [run.posthoc.fitted for run in self.arm.runs if run.posthoc]
        return [fitted[self.treatment] for fitted in of_runs if self.treatment in fitted]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delta:
    """One metric of one row: what the treatment does, and what is known of it."""

    paired: Paired
    contrast: Contrast
    inference: Inference

    def change(self, metric: str) -> Change:
        """The record."""
        return Change(
            metric=metric,
            before=float(self.paired.before.scores.mean()),
            after=float(self.paired.after.scores.mean()),
            delta=self.contrast.delta,
            ci_low=self.inference.alone.low,
            ci_high=self.inference.alone.high,
        )


def treated_arms(design: Design) -> tuple[TreatedArm, ...]:
    """Every arm under every treatment that all its runs have, the baseline's first; one family of intervals.

    Where no arm has a second run, how the deltas vary over seeds is unknown and the intervals speak for `images`.
    """
    rows = [_Row(arm=arm, treatment=t) for arm in design.arms for t in TREATMENTS if _has(arm, t)]
    if not rows:
        return ()
    question = design.study.question
    primary, guards = question.primary_metric, [g for g in question.guard_metrics if g != question.primary_metric]
    if all(len(arm.runs) == 1 for arm in design.arms):
        design = replace(design, estimand="images")
    deltas = _deltas(design, list(dict.fromkeys([primary, *guards, "top3", "ece"])), rows)
    return tuple(
        _treated_arm(design, row, {name: of_metric[i] for name, of_metric in deltas.items()}, guards)
        for i, row in enumerate(rows)
    )


def _has(arm: Arm, treatment: str) -> bool:
    return all(run.posthoc is not None and treatment in run.posthoc.treated for run in arm.runs)


def _deltas(design: Design, names: Sequence[str], rows: Sequence[_Row]) -> dict[str, list[_Delta]]:
    """Each of these metrics of every row, a family each; one pass over the draws serves all that are linear."""
    sizes, classes = class_sizes(design.baseline.runs[0].outcome), design.study.classes
    metrics = {name: metric_named(name, classes=classes, sizes=sizes) for name in names}
    pairs = {name: _pairs(design, metric, rows) for name, metric in metrics.items()}
    linear = [(name, pair) for name in names if metrics[name].linear for pair in pairs[name]]
    moved = linearly(design, [pair.difference for _, pair in linear])
    of_linear = {(name, pair.after.arm): of_row for (name, pair), of_row in zip(linear, moved, strict=True)}
    found = {}
    for name, metric in metrics.items():
        if metric.linear:
            of_images = {row.name: of_linear[name, row.name] for row in rows}
            found[name] = _inferred(design, pairs[name], of_images)
        else:
            fewer = _with_fewer_draws(design, name)
            found[name] = _inferred(fewer, pairs[name], _exactly(fewer, metric, rows))
    return found


def _with_fewer_draws(design: Design, name: str) -> Design:
    if name == design.study.question.primary_metric:
        return design
    n_resamples = min(design.draws.n_resamples, ANEW_RESAMPLES)
    return replace(design, draws=replace(design.draws, n_resamples=n_resamples))


def _inferred(design: Design, pairs: Sequence[Paired], of_images: Mapping[str, Floats]) -> list[_Delta]:
    """The pairs' deltas as one family."""
    contrasts = paired_contrasts(pairs, design.units, run_sd=design.run_sd)
    found = infer_family(contrasts, of_images, design)
    return [
        _Delta(paired=pair, contrast=c, inference=inference)
        for pair, c, inference in zip(pairs, contrasts, found, strict=True)
    ]


def _pairs(design: Design, metric: Metric, rows: Sequence[_Row]) -> list[Paired]:
    before = {row.arm.name: measure(metric, row.arm.name, row.before, design.units) for row in rows}
    return [
        Paired(
            treatment=row.treatment,
            before=before[row.arm.name],
            after=measure(metric, row.name, row.after, design.units),
        )
        for row in rows
    ]


def _exactly(design: Design, metric: Metric, rows: Sequence[_Row]) -> dict[str, Floats]:
    """Treated minus untreated, both scored anew on the same draws."""
    before = {f"{row.arm.name} as trained": [run for _, run in row.before] for row in rows}
    after = {row.name: [run for _, run in row.after] for row in rows}
    moved = exact_image_deviations(metric, before | after, design.units, design.draws)
    return {row.name: moved[row.name] - moved[f"{row.arm.name} as trained"] for row in rows}


def _treated_arm(design: Design, row: _Row, deltas: Mapping[str, _Delta], guards: Sequence[str]) -> TreatedArm:
    name = design.study.question.primary_metric
    primary = deltas[name]
    inference, changes = primary.inference, {metric: delta.change(metric) for metric, delta in deltas.items()}
    guarding = [guarded(design, g, deltas[g].contrast.delta, deltas[g].inference.alone) for g in guards]
    moves = primary.paired.moves
    judgement = judged(design, name, primary.contrast, inference, guarding) if moves else None
    return TreatedArm(
        name=row.name,
        arm=row.arm.name,
        treatment=row.treatment,
        seeds=tuple(run.seed for run in row.arm.runs),
        primary=changes[name],
        seed_deltas=tuple(map(float, primary.paired.difference.scores)),
        se=math.sqrt(primary.contrast.total(design.estimand).variance),
        ci_low_simultaneous=inference.simultaneous.low,
        ci_high_simultaneous=inference.simultaneous.high,
        p_adjusted=inference.p_adjusted,
        own_noise=any(part.own for part in primary.contrast.parts),
        verdict=judgement.verdict if judgement else None,
        label=judgement.label if judgement else "",
        reason=judgement.reason if judgement else _unmoved(row.treatment),
        guards=tuple(changes[guard] for guard in guards),
        top3=changes["top3"],
        ece=changes["ece"],
        nll_before=fmean(float(run.nll.mean()) for _, run in row.before),
        nll_after=fmean(float(run.nll.mean()) for _, run in row.after),
        fitted=spread(row.fitted) if row.fitted else None,
        forward_passes=2 if row.treatment.startswith(HFLIP) else 1,
    )


def _unmoved(treatment: str) -> str:
    """Why nothing moves: it cannot, or it happens not to."""
    if treatment in (TEMPERATURE, FOCAL_INVERSE):
        return "Changes no prediction: what it is worth stands in the columns of calibration."
    return "Changes no prediction of any run."
