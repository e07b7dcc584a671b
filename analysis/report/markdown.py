"""The report as Markdown: a comment on a pull request, the description of a run."""

import re
from collections.abc import Collection, Iterable, Sequence

from analysis.records import ArmSummary, Comparison, Report
from analysis.report.answer import answer, scope
from analysis.report.chance import chance_section, legend, misled_words
from analysis.report.contents import in_order
from analysis.report.effects import effects_section
from analysis.report.foremost import MOST, foremost, left_out, narrowed
from analysis.report.provenance import provenance_rows
from analysis.report.remarks import Remark, remarks
from analysis.report.section import Section, Table
from analysis.report.summary import summary_of
from analysis.words import SIGNS, Unit, chance_of, interval_title, metric_title, pvalue, unit_of, verdict_words


def render_markdown(report: Report, sections: Sequence[Section] = ()) -> str:
    """The answer, the verdicts with their reasons, the classes, what is missing, how it was made.

    Of more arms than a comment can hold, the best and the worst.
    """
    few = narrowed(report)
    blocks = [
        f"# {_plain(report.name)}",
        f"_{_plain(report.question)}_" if report.question else "",
        "\n".join(f"- {_plain(sentence)}" for sentence in answer(report)),
        _summary(few),
        "## Verdicts" if report.comparisons else "## Runs",
        _arms(few),
        left_out(report),
        scope(report),
        legend(report),
        _reasons(few),
        _classes(few),
        *(_section(section, foremost(report)) for section in in_order([*_core(report), *sections])),
        _remarks(report),
        _provenance(report),
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _arms(report: Report) -> str:
    unit = unit_of(report.metric)
    compared = {comparison.arm: comparison for comparison in report.comparisons}
    title = _plain(metric_title(report.metric))
    delta = f"delta{unit.symbol and ','}{unit.symbol}"
    alone = ["arm", "seeds", title, "sd"]
    if not report.comparisons:
        return _table(alone, "lrrr", (_alone(arm, unit) for arm in report.arms))
    interval = interval_title(report.verdicts_level)
    head = [*alone, delta, interval, "p adj.", "Holm's p", "P(better)", "one run misleads", "verdict"]
    baseline, *others = report.arms
    rows = [
        [*_alone(baseline, unit), *[""] * (len(head) - len(alone) - 1), "baseline"],
        *([*_alone(arm, unit), *_compared(report, compared[arm.arm], unit)] for arm in others),
    ]
    return _table(head, "lrrrrrrrrrl", rows)


def _alone(arm: ArmSummary, unit: Unit) -> list[str]:
    return [_code(arm.arm), str(arm.n_seeds), unit.score(arm.mean), "–" if arm.sd is None else unit.score(arm.sd)]


def _compared(report: Report, comparison: Comparison, unit: Unit) -> list[str]:
    return [
        unit.delta(comparison.delta),
        unit.interval(comparison.ci_low_simultaneous, comparison.ci_high_simultaneous),
        pvalue(comparison.p_adjusted),
        pvalue(comparison.p_holm),
        chance_of(comparison.probability_better),
        misled_words(report, comparison),
        f"{SIGNS[comparison.verdict]} **{verdict_words(comparison)}**",
    ]


def _reasons(report: Report) -> str:
    return "\n".join(f"- {SIGNS[c.verdict]} {_code(c.arm)}: {_plain(c.reason)}" for c in report.comparisons)


def _summary(report: Report) -> str:
    """The story's own table, and the classes that decide it; empty where nothing is compared."""
    if not report.comparisons:
        return ""
    summary = summary_of(report)
    head = ["config", *summary.columns, summary.delta, interval_title(report.verdicts_level), "verdict"]
    rows = (
        [_code(row.name), *row.scores, row.delta, row.interval, row.said]
        for row in (*summary.rows, *summary.treated)
    )
    table = _table(head, "l" + "r" * (len(head) - 2) + "l", rows)
    moves = "\n".join(
        f"- {SIGNS[one.verdict]} {_code(one.arm)}: {_plain(', '.join(one.moves))}" for one in summary.highlights
    )
    return "\n\n".join(filter(None, ("## Summary", table, moves, _plain(" ".join(summary.notes)))))


def _core(report: Report) -> list[Section]:
    """What the grid's levers do, and how much is chance."""
    effects = effects_section(report)
    return [*([effects] if effects else []), chance_section(report)]


def _classes(report: Report) -> str:
    """The baseline's recall in percent, and what each arm adds in points; the most test images first."""
    if not report.class_names:
        return ""
    points, deltas = unit_of("recall"), [report.class_deltas_of(comparison) for comparison in report.comparisons]
    head = ["class", "images", *(_code(arm.arm) for arm in report.arms)]
    rows = (
        [
            _plain(score.name),
            f"{score.n_images:,}",
            points.score(score.recall),
            *(points.delta(of_arm[score.name]) for of_arm in deltas),
        ]
        for score in sorted(report.arms[0].classes, key=lambda score: -score.n_images)
    )
    return "## Recall of each class\n\n" + _table(head, "l" + "r" * (len(head) - 1), rows)


def _section(section: Section, arms: Collection[str]) -> str:
    """The section without its figures, and without the tables for those who look something up."""
    said = "\n".join(f"- {_plain(sentence)}" for sentence in section.said)
    tables = [_section_table(table, arms) for table in section.tables if not table.folded]
    return "\n\n".join(filter(None, (f"## {section.title}", said, *tables, _plain(section.note))))


def _section_table(table: Table, arms: Collection[str]) -> str:
    """The table; of a long one the rows of the arms that are shown."""
    alignment = "".join("r" if column.number else "l" for column in table.columns)
    kept = [row for row in table.rows if row[0] in arms] if table.tall else table.rows
    rows = ([_code(name), *map(_plain, cells)] for name, *cells in kept or table.rows[:MOST])
    text = _table([_plain(column.title) for column in table.columns], alignment, rows)
    return f"{text}\n\nThe page has all {len(table.rows):,} rows." if table.tall else text


def _remarks(report: Report) -> str:
    lines = "\n".join(map(_remark, remarks(report)))
    return lines and f"## To be known\n\n{lines}"


def _remark(remark: Remark) -> str:
    where = "**problem**" if remark.problem else _plain(remark.where)
    return f"- {where}: {_plain(remark.text)}"


def _provenance(report: Report) -> str:
    lines = "\n".join(f"- {label}: {_plain(text)}" for label, text in provenance_rows(report.provenance))
    return lines and f"## How it was made\n\n{lines}"


def _table(head: Sequence[str], alignment: str, rows: Iterable[Sequence[str]]) -> str:
    rule = ["--:" if side == "r" else ":--" for side in alignment]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in (head, rule, *rows))


def _plain(text: str) -> str:
    """The text with what Markdown would read as markup escaped; an underscore within a word is none."""
    return re.sub(r"[\\`*<&\[$~]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)


def _code(name: str) -> str:
    """The name as a code span, between more backticks than stand in it at a time."""
    fence = "`" * (1 + max(map(len, re.findall("`+", name)), default=0))
    room = " " if len(fence) > 1 else ""
    return f"{fence}{room}{name}{room}{fence}"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
