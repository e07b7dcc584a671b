"""Adaptive repeats: at which look each arm stopped, what it took, and what was spared."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from analysis.adaptive import LEAST_CHANCE
from analysis.records import ArmCourse, Comparison, Repeats, Report, Verdict
from analysis.report.drawing import COLOURS, INK, MARKERS, MUTED, RULE, Figure, beside_row, rows_plot, svg_of
from analysis.report.foremost import MOST, noted, shown
from analysis.report.section import Column, Section, Table
from analysis.words import SIGNS, count, listed, verdict_words

TITLE = "Where did each arm stop?"
OWN_SEEDS = (
    "Means are over each arm's seeds; a delta is over the seeds of its own look, of arm and baseline, and need not "
    "be their difference."
)
"""What must be said wherever means and deltas stand in one row."""


def repeats_section(report: Report) -> Section | None:
    """Each arm's look, its seeds and what it was spared; None where repeats are fixed."""
    repeats = report.repeats
    if repeats is None or not repeats.reached:
        return None
    return Section(
        key="repeats",
        title=TITLE,
        said=tuple(repeats_said(report)),
        figures=(_figure(report, shown(repeats.arms, report), repeats.looks),),
        tables=(_table(report, repeats),),
        note=(
            "A decided arm is judged on the seeds of the look that decided it, by that look's interval, and gets "
            f"no more. {OWN_SEEDS} The intervals of all looks together hold in 95 of 100 sweeps, whatever is "
            "stopped and why. Kept arms with a cost that is merely not ruled out go on; an arm is given up where "
            f"the last look would decide it with a probability below {100 * LEAST_CHANCE:g}%, or where it diverged "
            "with every seed."
        ),
    )


def repeats_said(report: Report) -> list[str]:
    """What was spent and spared, and which arms are open: a sentence each; none where repeats are fixed."""
    repeats = report.repeats
    if repeats is None or not repeats.reached:
        return []
    fixed = len(repeats.arms) * repeats.looks[-1]
    look = f"look {repeats.reached} of {len(repeats.looks)}"
    unused = sum(arm.unused for arm in repeats.arms if arm.fate != "open")
    trained = f", and {unused} more {'is' if unused == 1 else 'are'} there and not used" if unused else ""
    spared = f"{repeats.spared} are spared ({100 * repeats.spared / fixed:.0f}%){trained}"
    return [
        f"{count(repeats.spent, 'trial')} up to {look}, where {fixed} would be repeats of "
        f"{repeats.looks[-1]} seeds an arm: {spared}.",
        *_by_fate(repeats),
        *(["Fates are by the sweep's own question, verdicts by this report's."] if repeats.otherwise else []),
    ]


def _by_fate(repeats: Repeats) -> list[str]:
    """One sentence for all that stopped, and one for what is open."""
    others = repeats.arms[1:]
    stopped = [f"{arm.arm} ({arm.fate} at {count(arm.n_seeds, 'seed')})" for arm in others if arm.fate != "open"]
    lines = [f"Stopped: {listed(stopped, at_most=MOST)}."] if stopped else []
    if repeats.open:
        left = repeats.looks[repeats.reached :]
        to_come = f"they go on to {left[0]} seeds" if left else "no further look is declared"
        lines.append(f"Open: {listed(repeats.open, at_most=MOST)}; {to_come}.")
    return lines


def fate_words(report: Report, arm: ArmCourse) -> str:
    """`decided at look 1`; of the sweep's own baseline what it does."""
    if report.repeats and arm.arm == report.repeats.arms[0].arm:
        return "goes on" if arm.fate == "open" and _to_come(report) else f"up to look {arm.look}"
    return f"{arm.fate} at look {arm.look}" if arm.fate != "open" else f"open after look {arm.look}"


def _to_come(report: Report) -> bool:
    """Whether there is a look to come."""
    return report.repeats is not None and report.repeats.reached < len(report.repeats.looks)


def _table(report: Report, repeats: Repeats) -> Table:
    compared = {c.arm: c for c in report.comparisons}
    titles = (("arm", False), ("", False), ("seeds", True), ("spared", True), ("unused", True), ("verdict", False))
    return Table(
        name="Seeds of each arm",
        columns=tuple(Column(title=title, number=number) for title, number in titles),
        rows=tuple(
            (
                arm.arm,
                fate_words(report, arm),
                str(arm.n_seeds),
                str(arm.spared),
                str(arm.unused),
                verdict_words(compared[arm.arm]) if arm.arm in compared else "",
            )
            for arm in repeats.arms
        ),
        folded=True,
    )


def _figure(report: Report, arms: Sequence[ArmCourse], looks: Sequence[int]) -> Figure:
    """Arms by seeds: what each took, the look where it stopped, what it was spared."""
    compared = {c.arm: c for c in report.comparisons}
    plot = rows_plot([arm.arm for arm in arms], right=1.9)
    for n_seeds in looks:
        plot.axes.axvline(n_seeds, color=RULE, linewidth=0.8, zorder=0)
    for row, arm in enumerate(arms):
        _row(plot.axes, row, arm, compared.get(arm.arm))
        beside_row(plot.axes, row, count(arm.n_seeds, "seed"), fate_words(report, arm))
    plot.axes.set_xlim(0, looks[-1] * 1.03)
    plot.axes.set_xticks([0, *looks])
    plot.axes.set_xlabel("seeds; the lines are looks")
    alt = f"Seeds of each arm: {'; '.join(_said(report, arm) for arm in arms)}."
    return Figure(
        name="repeats",
        title=TITLE,
        caption=noted(
            "A line is what an arm took, its mark the verdict (circle keep, cross reject, diamond inconclusive) at "
            "the look that judges it; the dots behind it are the seeds that it was spared.",
            report,
        ),
        alt=alt,
        svg=svg_of(plot, alt),
        canvas=plot.canvas,
    )


def _row(axes: Axes, row: int, arm: ArmCourse, comparison: Comparison | None) -> None:
    colour, marker = _mark(comparison.verdict) if comparison else (INK, "|")
    axes.plot((0, arm.n_seeds), (row, row), color=colour, linewidth=2.4, solid_capstyle="butt")
    spared = range(arm.n_seeds + 1, arm.n_seeds + arm.spared + 1)
    axes.plot(spared, [row] * len(spared), ".", color=MUTED, markersize=2.5)
    filled = colour if arm.fate != "open" else "none"
    axes.plot(arm.n_seeds, row, marker, color=colour, markerfacecolor=filled, markersize=7, zorder=3)


def _mark(verdict: Verdict) -> tuple[str, str]:
    return COLOURS[verdict], MARKERS[verdict]


def _said(report: Report, arm: ArmCourse) -> str:
    return f"{arm.arm} {arm.n_seeds}, {fate_words(report, arm)}, {arm.spared} spared"


def picture(report: Report, at_most: int) -> Sequence[tuple[str, str, str]]:
    """Of each arm its name, a character a seed (`━` taken, then its verdict's sign, `·` spared), and its fate."""
    repeats = report.repeats
    if repeats is None or not repeats.reached:
        return ()
    signs = {c.arm: SIGNS[c.verdict] for c in report.comparisons}
    return [
        (
            arm.arm,
            "━" * (arm.n_seeds - 1) + signs.get(arm.arm, "━") + "·" * arm.spared,
            fate_words(report, arm),
        )
        for arm in shown(repeats.arms, report, at_most)
    ]
