"""A sweep's end: what is there is judged, printed, and written beside the trials."""

import os

from rich.console import Console

from analysis.comparison import compare
from analysis.records import Report
from analysis.sources import load_study
from dermtune.ledger import SweepFolder
from dermtune.uris import where_to_look


def report(folder: SweepFolder, tracking_uri: str, console: Console) -> Report:
    """The sweep judged as far as it is, after its report is written and printed, with where the MLflow UI is.

    Raises SourceError where no trial can be judged.
    """
    # matplotlib takes a second: a dry run draws nothing.
    from analysis.report import print_report, with_command, write_report

    judged = with_command(compare(load_study(folder.path)), folder.path.resolve().name)
    files = write_report(judged, folder.report)
    print_report(judged, console)
    where = f"report  {os.path.relpath(files.html)}\nMLflow  {where_to_look(tracking_uri)}"
    console.print(where, soft_wrap=True, markup=False, highlight=False)
    return judged
