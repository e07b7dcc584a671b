"""A study as its looks let it be judged: on the seeds of the look that is reached, and on no others."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.adaptive import Course
from analysis.looks import Look, look_at
from analysis.study import Study, on_first, on_seeds
from analysis.words import count, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """What a report judges."""

    study: Study
    """On the look's seeds alone; before the first look all that is there, to be described and not to be judged."""
    look: Look | None
    """None where there is only one look."""


def at_look(study: Study) -> LookedAt:
    """The study on exactly the seeds of its look; what that leaves out, or was not declared, leads its problems.

    A look is reached when as many seeds are complete, from the sweep's first on: each arm has a run with each, or
    one that failed, diverged or is damaged. A run that is merely missing may still come, and the look waits for it.
    """
    question = study.question
    n_seeds = n_complete(study, [*question.arms]) if question.looks else max(len(arm.runs) for arm in study.arms)
    look = look_at(n_seeds, declared=question.looks, taken=question.looks_taken)
    if look is None:
        return LookedAt(study=study, look=None)
    if not look.judges:
        return LookedAt(study=_told(study, [no_look_yet(look)]), look=look)
    lines = _undeclared(look, [n for n in question.looks_taken if n not in question.looks])
    if question.looks:
        seeds = question.seeds[: look.n_seeds]
        lines += _left_out(look, study, seeds)
        study = on_seeds(study, seeds)
    return LookedAt(study=_told(study, lines), look=look)


def no_look_yet(look: Look) -> str:
    """Why nothing is judged before the first look."""
    first = count(look.later[0], "seed")
    verb = "is" if look.n_seeds == 1 else "are"
    return f"no verdict before the first look, at {first} an arm; {look.n_seeds} {verb} complete"


def at_stages(study: Study, course: Course) -> Study:
    """The study at the last look that is reached, each arm with the seeds that judged it.

    What that leaves out leads its problems. Of arms that stopped nothing is missing.
    """
    stage = course.stages[-1]
    later = course.open and stage.look.later
    going = (course.baseline, *course.open) if later else ()
    taken = [n for n in study.question.looks_taken if n not in study.question.looks]
    told = [*_undeclared(stage.look, taken), *_waiting(study, course, going), *_unused(study, course)]
    return _told(on_first(study, stage.arms, still_to_come=going), told)


def n_complete(study: Study, arms: Sequence[str]) -> int:
    """Seeds from the sweep's first on of which no run of these arms may still come."""
    settled = {(arm.name, run.seed) for arm in study.arms for run in arm.runs}
    settled |= {(run.arm, run.seed) for run in study.set_aside if run.state != "missing"}
    complete = (all((arm, seed) in settled for arm in arms) for seed in study.question.seeds)
    return sum(itertools.takewhile(bool, complete))


def _waiting(study: Study, course: Course, going: Sequence[str]) -> list[str]:
    """One line where arms that go on have runs of seeds beyond the look's."""
    stage = course.stages[-1]
    of_going = replace(study, arms=tuple(arm for arm in study.arms if arm.name in going))
    return _left_out(stage.look, of_going, study.question.seeds[: stage.look.n_seeds])


def _unused(study: Study, course: Course) -> list[str]:
    """One line where there are runs that nobody asks for any more: an arm's verdict stands once it is reached."""
    stage = course.stages[-1]
    ended = (*course.stopped, *(() if course.open and stage.look.later else (course.baseline, *course.open)))
    order = study.question.seeds
    extra = {
        arm.name: n
        for arm in study.arms
        if arm.name in ended and (n := sum(run.seed not in order[: stage.arms[arm.name]] for run in arm.runs))
    }
    if not extra:
        return []
    named = listed([f"{n} of {arm}" for arm, n in extra.items()], at_most=len(extra))
    return [f"runs beyond the look at which their arm stopped are there and not used: {named}"]


def _left_out(look: Look, study: Study, seeds: Sequence[int]) -> list[str]:
    """One line where there are runs of seeds beyond the look's."""
    further = {run.seed for arm in study.arms for run in arm.runs} - set(seeds)
    if not further:
        return []
    one = len(further) == 1
    if look.later:
        fate = f"{'waits' if one else 'wait'} for the look at {count(look.later[0], 'seed')}"
    else:
        fate = f"{'is' if one else 'are'} left out, for no later look is declared"
    judged = f"look {look.number} of {look.of}: judged on the first {count(look.n_seeds, 'seed')}"
    return [f"{judged}; {count(len(further), 'further seed')} {fate}"]


def _undeclared(look: Look, taken: Sequence[int]) -> list[str]:
    """One line where results were seen at numbers of seeds that the sweep does not declare."""
    earlier = [n for n in taken if n < look.n_seeds]
    if not earlier:
        return []
    if len(earlier) == 1:
        what = f"the look at {count(earlier[0], 'seed')} was not declared, and such a look"
    else:
        what = f"the looks at {listed(list(map(str, earlier)))} seeds were not declared, and the first such look"
    return [
        f"{what} has used the whole 5% already: this report, at {count(look.n_seeds, 'seed')}, is adjusted as if "
        "every look had been declared, which cannot take that back; declare looks in the sweep file before the "
        "first report"
    ]


def _told(study: Study, lines: Sequence[str]) -> Study:
    return replace(study, problems=(*lines, *study.problems))
