"""The report's files in one folder."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.records import Report
from analysis.report.drawing import Figure
from analysis.report.figures import figures_of
from analysis.report.html import render_html
from analysis.report.jsonfile import render_json
from analysis.report.markdown import render_markdown
from analysis.report.sections import sections_of
from analysis.wholefile import naming, sync_folder, whole, write_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFiles:
    """Where each drawing of a report stands."""

    html: Path
    markdown: Path
    json: Path
    figures: Path
    """Folder of every figure as SVG and PNG, and of their captions."""


def write_report(report: Report, folder: Path) -> ReportFiles:
    """Write every drawing of the report; the folder holds the new report or, until it is whole, the old one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".report-", dir=folder.parent))
    try:
        with naming(folder):
            _fill(made, report)
            made.chmod(0o755)
            _replace(folder, made)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return _files(folder)


def _replace(folder: Path, made: Path) -> None:
    """Put `made` in the folder's place; where that fails, what was there is put back."""
    old = made.with_name(f"{made.name}.old")
    if folder.exists():
        folder.rename(old)
    try:
        made.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _files(folder: Path) -> ReportFiles:
    return ReportFiles(
        html=folder / "report.html",
        markdown=folder / "report.md",
        json=folder / "report.json",
        figures=folder / "figures",
    )


def _fill(folder: Path, report: Report) -> None:
    files, figures, sections = _files(folder), figures_of(report), sections_of(report)
    write_text(files.json, render_json(report))
    write_text(files.markdown, render_markdown(report, sections))
    write_text(files.html, render_html(report, figures, sections))
    _draw(files.figures, [*figures, *(figure for section in sections for figure in section.figures)])


def _draw(folder: Path, figures: Sequence[Figure]) -> None:
    """Each figure for the screen and for a slide, and the captions that belong to them."""
    for figure in figures:
        write_text(folder / f"{figure.name}.svg", figure.svg)
        with whole(folder / f"{figure.name}.png") as partial:
            partial.write_bytes(figure.png())
    captions = [f"## {figure.title}\n\n`{figure.name}`: {figure.caption}\n" for figure in figures]
    write_text(folder / "captions.md", "\n".join(captions))
