"""The report in a terminal: one table read at a glance, a reason an arm, then what else must be known."""

from collections.abc import Sequence

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from analysis.records import ArmSummary, Comparison, Report, Verdict
from analysis.report.answer import answer, scope
from analysis.report.chance import TITLE, chance
from analysis.report.confirmation import said
from analysis.report.effects import MainRow, pairs_left_out, section_of
from analysis.report.foremost import AT_A_GLANCE, left_out, narrowed
from analysis.report.recommendation import recommendation_section
from analysis.report.remarks import remarks
from analysis.report.repeats import TITLE as REPEATS
from analysis.report.repeats import picture, repeats_said
from analysis.report.shrinkagefigure import shrinkage_title
from analysis.report.strip import Scale, ruler, scale_of, strip
from analysis.report.summary import Summary, SummaryRow, summary_of
from analysis.words import SIGNS, Unit, interval_title, metric_title, pvalue, unit_of

STYLES: dict[Verdict, str] = {"keep": "green", "reject": "red", "inconclusive": "yellow"}

_GAP = 2
"""Characters between columns."""
_STRIP_AT_LEAST = 16
"""Below this a strip is scribble, and is left out."""
_STRIP_AT_MOST = 48


def print_report(report: Report, console: Console) -> None:
    """Print the report, fitted to the console's width; the strips go where there is no room for them."""
    console.print()
    console.print(_heading(report))
    console.print(Padding(Text("\n".join(answer(report))), (1, 0)))
    console.print(_table(narrowed(report, AT_A_GLANCE), console))
    if rest := left_out(report, AT_A_GLANCE):
        console.print(Text(rest, style="dim"))
    blocks = (_reasons, _repeats, _confirmed, _effects, _chance, _recommended, _remarks)
    for block in (drawn(report) for drawn in blocks):
        if block is not None:
            console.print(Padding(block, (1, 0, 0, 0)))
    console.print(Padding(Text(f"{metric_title(report.metric)}; {scope(report)}", style="dim"), (1, 0)))


def print_summary(report: Report, console: Console) -> None:
    """Print the summary table and its highlights; names, then cells, go in two lines where one is too narrow."""
    summary = summary_of(narrowed(report, AT_A_GLANCE))
    tables = (
        _summary_table(summary, split=split, stacked=stacked)
        for split, stacked in ((False, False), (True, False), (True, True))
    )
    fitting = (table for table in tables if console.measure(table).maximum < console.width)
    console.print()
    console.print(_heading(report))
    console.print()
    console.print(next(fitting, None) or _summary_table(summary, split=True, stacked=True))
    if summary.highlights:
        console.print(Padding(_highlights(summary), (1, 0, 0, 0)))
    notes = filter(None, (*summary.notes, left_out(report, AT_A_GLANCE)))
    console.print(Padding(Text("\n".join(notes), style="dim"), (1, 0)))


def _summary_table(summary: Summary, *, split: bool, stacked: bool) -> Table:
    """The table; `split` names break before each further lever, `stacked` cells have their second part below."""
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    table.add_column("config", overflow="fold")
    for title in summary.columns:
        table.add_column(Text(title.replace(" ", "\n") if stacked else title), justify="right", no_wrap=True)
    if summary.compared:
        table.add_column(summary.delta, no_wrap=True)
        table.add_column("verdict", no_wrap=True)
    for row in summary.rows:
        table.add_row(*_summary_row(row, split=split, stacked=stacked)[: len(table.columns)])
    if summary.treated:
        table.add_row()
    for row in summary.treated:
        table.add_row(*_summary_row(row, split=False, stacked=stacked))
    return table


def _summary_row(row: SummaryRow, *, split: bool, stacked: bool) -> list[Text]:
    name = Text("\n".join(_split(row.name)) if split else row.name)
    gap = "\n" if stacked else "  "
    delta = Text.assemble((f"{row.delta:>6}", "bold"), (gap + row.interval, "dim")) if row.delta else Text()
    style = STYLES[row.verdict] if row.verdict else "dim"
    said = row.said.replace(", ", "\n  ") if stacked else row.said
    return [name, *map(Text, row.scores), delta, Text(said, style=style)]


def _highlights(summary: Summary) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column()
    grid.add_column(overflow="fold")
    for one in summary.highlights:
        said = Text.assemble((one.arm, "bold"), f": {', '.join(one.moves)}")
        grid.add_row(Text(SIGNS[one.verdict], style=STYLES[one.verdict]), said)
    return grid


def _heading(report: Report) -> Text:
    title = Text(report.name, style="bold")
    if report.question:
        title.append(f"  {report.question}", style="not bold")
    return title


def _table(report: Report, console: Console) -> Table:
    """The table with strips, where what it needs without them leaves room."""
    plain = _filled(report, None)
    room = console.width - console.measure(plain).maximum - _GAP
    if not report.comparisons or room < _STRIP_AT_LEAST:
        return plain
    return _filled(report, scale_of(report, min(room, _STRIP_AT_MOST)))


def _filled(report: Report, scale: Scale | None) -> Table:
    unit = unit_of(report.metric)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 1, 0), header_style="dim")
    table.add_column("arm", overflow="fold", max_width=28)
    table.add_column("seeds", justify="right")
    table.add_column(Text("mean\nsd"), justify="right", no_wrap=True)
    if report.comparisons:
        _add_compared(table, report, scale)
    compared = {comparison.arm: comparison for comparison in report.comparisons}
    for arm in report.arms:
        table.add_row(*_row(arm, compared.get(arm.arm), unit, scale)[: len(table.columns)])
    return table


def _add_compared(table: Table, report: Report, scale: Scale | None) -> None:
    unit = unit_of(report.metric)
    table.add_column(
        Text(f"delta{unit.symbol and ','}{unit.symbol}\n{interval_title(report.verdicts_level)}"), no_wrap=True
    )
    if scale is not None:
        table.add_column(ruler(scale, unit), no_wrap=True)
    table.add_column(Text("p\nadj."), justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)


def _row(arm: ArmSummary, comparison: Comparison | None, unit: Unit, scale: Scale | None) -> list[Text]:
    sd = f"\n{unit.score(arm.sd)}" if arm.sd is not None else "\n–"
    cells = [Text("\n".join(_split(arm.arm))), Text(str(arm.n_seeds)), _two(unit.score(arm.mean), sd)]
    if comparison is None:
        strips = [Text()] if scale is not None else []
        return [*cells, Text(), *strips, Text(), Text("baseline", style="dim")]
    style = STYLES[comparison.verdict]
    interval = unit.interval(comparison.ci_low_simultaneous, comparison.ci_high_simultaneous)
    cells.append(_two(unit.delta(comparison.delta), f"\n{interval}"))
    if scale is not None:
        cells.append(strip(comparison, scale, style))
    verdict = Text(f"{SIGNS[comparison.verdict]} {comparison.verdict}", style=f"bold {style}")
    verdict.append(f"\n  {comparison.label}" if comparison.label else "", style=f"not bold {style}")
    return [*cells, _two(pvalue(comparison.p_value), f"\n{pvalue(comparison.p_adjusted)}"), verdict]


def _two(first: str, second: str) -> Text:
    return Text.assemble((first, "bold"), (second, "dim"))


def _split(arm: str) -> list[str]:
    """`a=1+b=2` in two lines, so that a long arm leaves room for its numbers."""
    first, *rest = arm.split("+")
    return [first, *(f"+{part}" for part in rest)]


def _reasons(report: Report) -> Table | None:
    if not report.comparisons:
        return None
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column()
    grid.add_column(overflow="fold")
    for comparison in narrowed(report, AT_A_GLANCE).comparisons:
        said = Text.assemble((comparison.arm, "bold"), f": {comparison.reason}")
        grid.add_row(Text(SIGNS[comparison.verdict], style=STYLES[comparison.verdict]), said)
    return grid


def _repeats(report: Report) -> Group | None:
    """A row an arm: its seeds up to the look that judged it, and those that it was spared."""
    rows = picture(report, AT_A_GLANCE)
    if not rows:
        return None
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(overflow="fold")
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="dim")
    styles = {c.arm: STYLES[c.verdict] for c in report.comparisons}
    for arm, seeds, fate in rows:
        grid.add_row(Text(arm), Text(seeds, style=styles.get(arm, "")), Text(fate))
    return Group(Text(REPEATS, style="bold"), grid, _sentences("", repeats_said(report)))


def _effects(report: Report) -> Group | None:
    """Interactions in a sentence each, then a table of main effects."""
    section = section_of(report, AT_A_GLANCE)
    if section is None:
        return None
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column()
    grid.add_column(overflow="fold")
    for pair in section.together:
        grid.add_row(Text(pair.sign, style=STYLES[pair.verdict]), Text(pair.sentence))
    title = Text(section.title, style="bold")
    rest = pairs_left_out(report, AT_A_GLANCE)
    below = [Text(rest, style="dim")] if rest else []
    return Group(title, grid, *below, Text(), _main_effects(report, section.mains))


def _main_effects(report: Report, rows: Sequence[MainRow]) -> Table:
    unit = unit_of(report.metric)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    table.add_column("main effect", overflow="fold")
    delta = f"delta{unit.symbol and ','}{unit.symbol}"
    for title in (delta, interval_title(report.level), "p adj.", "instead of", "settings"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        cells = (row.name, row.estimate, row.interval, row.p_adjusted, row.reference, row.settings)
        table.add_row(*map(Text, cells))
    return table


def _confirmed(report: Report) -> Group | None:
    if report.selection is None:
        return None
    return _sentences(shrinkage_title(report.selection), said(report))


def _chance(report: Report) -> Group:
    return _sentences(TITLE, chance(report))


def _recommended(report: Report) -> Group | None:
    section = recommendation_section(report)
    return None if section is None else _sentences(section.title, section.said)


def _sentences(title: str, sentences: Sequence[str]) -> Group:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column()
    grid.add_column(overflow="fold")
    for sentence in sentences:
        grid.add_row(Text("·", style="dim"), Text(sentence))
    return Group(Text(title, style="bold"), grid)


def _remarks(report: Report) -> Table | None:
    """Problems, then notes."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column()
    grid.add_column(overflow="fold")
    for remark in remarks(report):
        mark = Text("!", style="bold yellow") if remark.problem else Text("·", style="dim")
        grid.add_row(mark, Text.assemble((f"{remark.where}: ", "bold" if remark.problem else "dim"), remark.text))
    return grid if grid.row_count else None
