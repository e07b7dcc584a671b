"""What else must be known: what is missing, and what holds for some arms only."""

from dataclasses import dataclass

from analysis.records import Report


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
        for note in comparison.notes:
            noted.setdefault(note, []).append(comparison.arm)
    problems = [Remark(problem=True, where="problem", text=text) for text in report.problems]
    notes = [
        Remark(
            problem=False, where="all arms" if len(arms) == len(report.comparisons) else ", ".join(arms), text=note
        )
        for note, arms in noted.items()
    ]
    return (*problems, *notes)
