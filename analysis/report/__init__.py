"""A `Report` drawn for people and machines: terminal, Markdown, HTML, JSON, figures."""

from analysis.report.figures import figures_of
from analysis.report.files import ReportFiles, write_report
from analysis.report.html import render_html
from analysis.report.jsonfile import render_json
from analysis.report.markdown import render_markdown
from analysis.report.provenance import with_command
from analysis.report.sections import sections_of
from analysis.report.terminal import print_report, print_summary

__all__ = [
    "ReportFiles",
    "figures_of",
    "print_report",
    "print_summary",
    "render_html",
    "render_json",
    "render_markdown",
    "sections_of",
    "with_command",
    "write_report",
]
