"""A sweep's end: what is there is judged, printed, and written beside the trials."""

import os

from rich.console import Console

from analysis.comparison import compare
from analysis.records import Report
from analysis.sources import load_study
from dermtune.ledger import SweepFolder


def report(folder: SweepFolder, tracking_uri: str, console: Console) -> Report:
    """The sweep judged as far as it is, after its report is written and printed, with where the MLflow UI is.

    Raises SourceError where no trial can be judged.
    """
    # matplotlib takes a second: a dry run draws nothing.
    from analysis.report import print_report, with_command, write_report

    judged = with_command(compare(load_study(folder.path)), folder.path.resolve().name)
    files = write_report(judged, folder.report)
    print_report(judged, console)
    server = tracking_uri.startswith(("http:", "https:"))
    ui = tracking_uri if server else f"mlflow ui --backend-store-uri {tracking_uri}"
    console.print(f"report  {os.path.relpath(files.html)}\nMLflow  {ui}", soft_wrap=True, highlight=False)
    return judged
