"""A study judged: by which draws and for which population, at one look for all arms or at each arm's own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.adaptive import Course, Stage, fates_of, follow
from analysis.deltas import comparisons_of
from analysis.estimates import Design, Estimates, estimate, estimate_scores
from analysis.influence import no_units, units_of
from analysis.interim import at_look, at_stages, n_complete
from analysis.looks import Look
from analysis.noise import RUN_SD
from analysis.records import ArmCourse, Comparison, Estimand, Fate, Repeats
from analysis.resampling import Draws
from analysis.scores import ScoreTable
from analysis.study import SourceError, Study, as_given, n_diverged, on_first


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a study is judged; by default as a sweep's own end does it."""

    estimand: Estimand = "both"
    run_sd: float = RUN_SD
    """Run-to-run standard deviation to assume of an arm with one run."""
    draws: Draws = Draws(n_resamples=10_000, seed=0)  # noqa: RUF009 frozen
    table: ScoreTable | None = None
    """The scores, where nothing else is known."""

    @property
    def as_sweeps(self) -> bool:
        """Whether a sweep's own end asks the same, but for the draws."""
        return (self.estimand, self.run_sd) == ("both", RUN_SD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """What a study comes to."""

    study: Study
    """The runs that are judged or, before the first look, described."""
    design: Design
    """Of the last look."""
    primary: Estimates
    comparisons: tuple[Comparison, ...]
    """Each arm's, by the look that judges it; none before the first."""
    repeats: Repeats | None = None
    """Where each arm stopped; None where repeats are fixed."""

    @property
    def judges(self) -> bool:
        """Whether arms are compared at all: not before the first declared look."""
        return self.design.look is None or self.design.look.judges


def sit(study: Study, own: Study, asking: Asking) -> Sitting:
    """The study judged; `own` is the same with the question that its sweep asked, which says who stopped where.

    Raises MetricError for a metric that there is not, SourceError for a baseline that there is not.
    """
    adaptive, baseline = own.question.adaptive and asking.table is None, own.question.baseline
    lost = adaptive and study.question.baseline != baseline and _lacks_baseline(own)
    if adaptive and not lost:
        return _at_own_looks(study, own, asking)
    looked = at_look(study)
    told = [f"no arm stopped: {baseline}, the sweep's baseline, has no finished run at the first look"] * lost
    return _whole(replace(looked.study, problems=(*told, *looked.study.problems)), looked.look, asking)


def course_of(study: Study) -> Course:
    """Where each arm of a sweep with adaptive repeats stopped, by the sweep's own question.

    Whoever runs the sweep and whoever reports on it decide by this: the same runs, the same course. Labels are
    those that the files have.
    """
    return _followed(study, dict[int, Sequence[Comparison]]())


def _whole(study: Study, look: Look | None, asking: Asking) -> Sitting:
    """All arms at one look."""
    design = _design(study, look, asking)
    estimates = _estimates(design, asking)
    return Sitting(
        study=study,
        design=design,
        primary=estimates[study.question.primary_metric],
        comparisons=comparisons_of(design, estimates) if look is None or look.judges else (),
    )


def _at_own_looks(study: Study, own: Study, asking: Asking) -> Sitting:
    """Each arm at the look that it stopped at, or at the last that is reached."""
    found = dict[int, Sequence[Comparison]]()
    course = _followed(own, found)
    if not course.stages:
        looked = at_look(study)
        sitting = _whole(looked.study, looked.look, asking)
        return replace(sitting, repeats=_repeats(own, course))
    last = _whole(at_stages(study, course), course.stages[-1].look, asking)
    otherwise = study is not own or not asking.as_sweeps or study.corrected is not None
    if otherwise or asking != Asking():
        found = {course.stages[-1].look.number: last.comparisons}
        for stage in _others(course):
            found[stage.look.number] = _whole(_on(study, stage), stage.look, asking).comparisons
    comparisons = _own_comparisons(last.design, course, found)
    return replace(last, comparisons=comparisons, repeats=replace(_repeats(own, course), otherwise=otherwise))


def _lacks_baseline(own: Study) -> bool:
    """Whether the first look is complete and the sweep's own baseline, by which arms stop, has no run there."""
    asked = own.question
    first = asked.seeds[: asked.looks[0]]
    there = any(run.seed in first for arm in own.arms if arm.name == asked.baseline for run in arm.runs)
    return not there and n_complete(own, [*asked.arms]) >= len(first)


def _followed(own: Study, found: dict[int, Sequence[Comparison]]) -> Course:
    """The course by the sweep's own question; each look's comparisons are put into `found`, by its number."""
    given, question = as_given(own), own.question
    arms = (question.baseline, *(arm for arm in question.arms if arm != question.baseline))

    def judge(stage: Stage) -> Mapping[str, Fate]:
        at = _on(given, stage)
        found[stage.look.number] = _whole(at, stage.look, Asking()).comparisons
        return _never_trained(at, stage) | fates_of(stage, found[stage.look.number], question.margin)

    return follow(
        arms,
        question.looks,
        taken=question.looks_taken,
        n_complete=lambda arm: n_complete(own, [arm]),
        judge=judge,
    )


def _never_trained(at: Study, stage: Stage) -> dict[str, Fate]:
    """Arms that diverged with every seed of the look: there is nothing to judge, and nothing to hope for.

    A run that failed may be tried again, and its arm stays open.
    """
    return {arm: "given up" for arm in stage.judged if n_diverged(at, arm) == stage.look.n_seeds}


def _on(study: Study, stage: Stage) -> Study:
    return on_first(study, stage.arms, still_to_come=())


def _others(course: Course) -> list[Stage]:
    """Stages at which an arm stopped, but for the last that is reached."""
    numbers = {look.number for look in course.stopped.values()}
    return [stage for stage in course.stages[:-1] if stage.look.number in numbers]


def _own_comparisons(
    design: Design, course: Course, found: Mapping[int, Sequence[Comparison]]
) -> tuple[Comparison, ...]:
    """Each arm's comparison by the look that judges it.

    The sweep's baseline, where another is asked for, is judged by the last. An arm without a run then has none.
    """
    by_look = {number: {c.arm: c for c in of_look} for number, of_look in found.items()}
    looks = {arm.name: course.look_of(arm.name) for arm in design.others}
    return tuple(
        replace(by_look[look.number][arm], look=look) for arm, look in looks.items() if arm in by_look[look.number]
    )


def _repeats(own: Study, course: Course) -> Repeats:
    """The course as a report tells it."""
    fates: dict[str, Fate] = {course.baseline: "open" if course.open else "decided", **course.fates}
    return Repeats(
        looks=own.question.looks,
        reached=len(course.stages),
        arms=tuple(_arm_course(own, course, arm, fate) for arm, fate in fates.items()),
    )


def _arm_course(own: Study, course: Course, arm: str, fate: Fate) -> ArmCourse:
    """What became of one arm; its look's number is its place among those declared."""
    place = {stage.look.n_seeds: number for number, stage in enumerate(course.stages, start=1)}
    n_seeds, order = course.n_seeds(arm), own.question.seeds
    beyond = {run.seed for of in own.arms if of.name == arm for run in of.runs} - set(order[:n_seeds])
    unused = len(beyond) if course.stages else 0
    return ArmCourse(
        arm=arm,
        fate=fate,
        look=place[course.look_of(arm).n_seeds] if course.stages else 0,
        n_seeds=n_seeds,
        spared=0 if fate == "open" else max(0, own.question.looks[-1] - n_seeds - unused),
        unused=unused,
    )


def _estimates(design: Design, asking: Asking) -> dict[str, Estimates]:
    question = design.study.question
    names = list(dict.fromkeys([question.primary_metric, *question.guard_metrics]))
    return estimate_scores(design, asking.table, names) if asking.table else estimate(design, names)


def _design(study: Study, look: Look | None, asking: Asking) -> Design:
    for name, value in (("margin", study.question.margin), ("run_sd", asking.run_sd)):
        require(math.isfinite(value), name, "be finite", value)
    draws = asking.draws
    require(study.question.margin >= 0, "margin", "be >= 0", study.question.margin)
    require(asking.run_sd > 0, "run_sd", "be > 0", asking.run_sd)
    require(draws.seed >= 0, "seed", "be >= 0", draws.seed)
    require(draws.n_resamples >= 100, "resamples", "be at least 100", draws.n_resamples)
    require(draws.n_resamples <= 1_000_000, "resamples", "be at most 1,000,000", draws.n_resamples)
    n_groups = len(np.unique(study.group_id))
    require(n_groups != 1, "the test set", "have at least two groups of images to draw from", n_groups)
    names = [arm.name for arm in study.arms]
    if study.question.baseline in {*study.question.arms} - {*names}:
        raise SourceError(f"the baseline must have a finished run: {'; '.join(study.problems)}")
    require(
        study.question.baseline in names,
        "baseline",
        f"be one of the arms {', '.join(names)}",
        study.question.baseline,
    )
    return Design(
        study=study,
        units=units_of(study.label, study.group_id, len(study.classes)) if n_groups else no_units(),
        estimand=asking.estimand,
        run_sd=asking.run_sd,
        draws=draws.beyond(look.alpha) if look and look.judges else draws,
        look=look,
        baseline=study.arms[names.index(study.question.baseline)],
        others=tuple(arm for arm in study.arms if arm.name != study.question.baseline),
    )


def require(holds: bool, name: str, must: str, got: object) -> None:
    """Raise SourceError unless it holds."""
    if not holds:
        raise SourceError(f"{name} must {must}, got {got!r}")
