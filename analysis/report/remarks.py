"""What else must be known: what is missing, and what holds for some arms only."""

from dataclasses import dataclass

from analysis.looks import ALPHA
from analysis.records import Comparison, Report
from analysis.words import named


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One line below the verdicts."""

    problem: bool
    """Something is missing or was set right; else a note on how an arm was judged."""
    where: str
    """`problem`, or the arms that a note is about."""
    text: str


def remarks(report: Report) -> tuple[Remark, ...]:
    """Problems, then notes; a note that several arms share is said once."""
    noted: dict[str, list[str]] = {}
    for comparison in report.comparisons:
        for note in (*comparison.notes, *_seeming(report, comparison)):
            noted.setdefault(note, []).append(comparison.arm)
    problems = [Remark(problem=True, where="problem", text=text) for text in report.problems]
    notes = [
        Remark(problem=False, where="all arms" if len(arms) == len(report.comparisons) else named(arms), text=note)
        for note, arms in noted.items()
    ]
    return (*problems, *notes)


def _seeming(report: Report, comparison: Comparison) -> tuple[str, ...]:
    """What must be said where the table's p and the verdict's interval seem to disagree."""
    holds_nought = comparison.ci_low_simultaneous <= 0 <= comparison.ci_high_simultaneous
    if comparison.p_adjusted > ALPHA or not holds_nought or (report.look and not report.look.judges):
        return ()
    alpha = 1 - report.level_of(comparison)
    seen = f"p adj. is at most {ALPHA:g} although the interval over all arms holds 0"
    if comparison.p_adjusted > alpha:
        return (f"{seen}: this look asks for a p of at most {alpha:.2g}, and its interval is as strict",)
    return (
        f"{seen}: p adj. steps down past arms that are clear already, the interval does not, and the verdict "
        "follows the interval",
    )
