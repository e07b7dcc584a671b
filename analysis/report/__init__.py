"""A `Report` drawn for people and machines: terminal, Markdown, HTML, JSON, figures."""

from analysis.report.figures import figures_of
from analysis.report.files import ReportFiles, write_report, write_text
from analysis.report.html import render_html
from analysis.report.jsonfile import render_json
from analysis.report.markdown import render_markdown
from analysis.report.sections import sections_of
from analysis.report.terminal import print_report

__all__ = [
    "ReportFiles",
    "figures_of",
    "print_report",
    "render_html",
    "render_json",
    "render_markdown",
    "sections_of",
    "write_report",
    "write_text",
]
