"""Adaptive repeats in a sweep's folder: which arms its looks have stopped, and what that leaves to train."""

from collections.abc import Container

from analysis.adaptive import Course
from analysis.judging import course_of
from analysis.planning import Variation
from analysis.sequential import Truth, expected_trials
from analysis.sources import load_study
from analysis.study import Question, SourceError
from analysis.words import count, listed, unit_of
from dermtune.ledger import SweepFolder
from dermtune.plan import BASELINE, Plan, Trial

_WORTH = (0, 2, 4)
"""True deltas, in margins, for which it is said beforehand what a sweep takes."""


def course_in(folder: SweepFolder, plan: Plan) -> Course | None:
    """Where each arm has stopped, by the runs that are there: the report's own rule, so both say the same.

    None where repeats are fixed, and where nothing can be judged yet.
    """
    if plan.sweep.repeats == "fixed":
        return None
    try:
        study = load_study(folder.path, quick=True)
        return course_of(study) if study.question.adaptive and _asks_the_same(study.question, plan) else None
    except SourceError:
        return None


def _asks_the_same(question: Question, plan: Plan) -> bool:
    """Whether a folder's question is the plan's; names alone do not tell, any first stage picks a `pick-1`."""
    if dict(question.arms) != {arm.name: dict(arm.levers) for arm in plan.arms}:
        return False
    sweep = plan.sweep
    asked = (sweep.primary_metric, tuple(sweep.guard_metrics), sweep.margin, tuple(sweep.looks))
    return asked == (question.primary_metric, tuple(question.guard_metrics), question.margin, tuple(question.looks))


def to_train(plan: Plan, done: Container[str], course: Course | None) -> tuple[Trial, ...]:
    """The trials up to the next look that are not done, of the arms that go on, in the plan's order.

    Seeds beyond the last look that the plan has wait for a later one; seeds beyond the last of all are not trained.
    """
    looks, reached = plan.sweep.looks, len(course.stages) if course else 0
    seeds = plan.seeds[: looks[min(reached, len(looks) - 1)]]
    going = _going(plan, course)
    return tuple(t for t in plan.trials if t.arm in going and t.seed in seeds and t.trial_id not in done)


def spared(plan: Plan, done: Container[str], course: Course | None) -> frozenset[str]:
    """Ids of the trials that no look asks for any more, and that are not done."""
    if plan.sweep.repeats == "fixed":
        return frozenset()
    going, seeds = _going(plan, course), plan.seeds[: plan.sweep.looks[-1]]
    return frozenset(
        trial.trial_id
        for trial in plan.trials
        if trial.trial_id not in done and (trial.arm not in going or trial.seed not in seeds)
    )


def spared_in(folder: SweepFolder, plan: Plan, done: Container[str] | None = None) -> frozenset[str]:
    """`spared`, as the folder stands; `done` where the caller has looked which are."""
    if plan.sweep.repeats == "fixed":
        return frozenset()
    return spared(plan, folder.done(plan.trials) if done is None else done, course_in(folder, plan))


def stopped(course: Course | None) -> dict[str, str]:
    """By arm that has stopped, `decided at look 1`."""
    if course is None:
        return {}
    return {arm: f"{course.fates[arm]} at look {look.number}" for arm, look in course.stopped.items()}


def standing(course: Course) -> str:
    """What the last look that is reached has made of the arms, and who goes on: a sentence."""
    look = course.stages[-1].look
    here = [f"{arm} {course.fates[arm]}" for arm, at in course.stopped.items() if at == look]
    found = f"{listed(here, at_most=len(here))}" if here else "no further arm is decided"
    going = count(len(course.open), "arm")
    if not course.open:
        then = "no arm is open, and the baseline stops too"
    elif look.later:
        then = f"{going} and the baseline go on to {look.later[0]} seeds"
    else:
        then = f"{going} {'stay' if len(course.open) > 1 else 'stays'} open, and this was the last look"
    return f"Look {look.number} of {look.of}, at {count(look.n_seeds, 'seed')}: {found}; {then}."


def foretold(plan: Plan, variation: Variation) -> str:
    """What a sweep takes at most, and about how much where all arms are worth one thing or another: a clause."""
    looks = [n for n in plan.sweep.looks if n <= len(plan.seeds)]
    if not looks:
        return "adaptive: no look is reached"
    most = count(len(plan.arms) * looks[-1], "trial")
    expected = f", {_expected(plan, variation)}" if plan.sweep.margin else ""
    return f"adaptive: {most} at most{expected}"


def _expected(plan: Plan, variation: Variation) -> str:
    unit, said = unit_of(plan.sweep.primary_metric), list[str]()
    for margins in _WORTH:
        delta = margins * plan.sweep.margin
        truth = Truth(deltas=(delta,) * (len(plan.arms) - 1), variation=variation, margin=plan.sweep.margin)
        takes = expected_trials(truth, plan.sweep.looks, n_seeds=len(plan.seeds))
        said.append(
            f"{takes:.0f} where all gain {unit.size(delta)}" if margins else f"about {takes:.0f} where none gains"
        )
    return listed(said)


def _going(plan: Plan, course: Course | None) -> frozenset[str]:
    """Arms that may need further trials."""
    if course is None:
        return frozenset(arm.name for arm in plan.arms)
    return frozenset((BASELINE, *course.open)) if course.open else frozenset()
