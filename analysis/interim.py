"""A study as its looks let it be judged: on the seeds of the look that is reached, and on no others."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.looks import Look, look_at
from analysis.study import Study, on_seeds
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
    n_seeds = _n_complete(study) if question.looks else max(len(arm.runs) for arm in study.arms)
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


def _n_complete(study: Study) -> int:
    """Seeds from the sweep's first on of which no arm's run may still come."""
    settled = {(arm.name, run.seed) for arm in study.arms for run in arm.runs}
    settled |= {(run.arm, run.seed) for run in study.set_aside if run.state != "missing"}
    complete = (all((arm, seed) in settled for arm in study.question.arms) for seed in study.question.seeds)
    return sum(itertools.takewhile(bool, complete))


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
