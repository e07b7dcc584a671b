"""A sweep's end: what is there is judged, printed, and written beside the trials."""

import os

from rich.console import Console

from analysis.comparison import compare
from analysis.sources import load_study
from dermtune.ledger import SweepFolder


def report(folder: SweepFolder, tracking_uri: str, console: Console) -> None:
    """Judge the sweep as far as it is, print the report, and say where its page and the MLflow UI are.

    Raises SourceError where no trial can be judged.
    """
    from analysis.report import print_report, write_report  # matplotlib takes a second: a dry run draws nothing

    judged = compare(load_study(folder.path))
    files = write_report(judged, folder.report)
    print_report(judged, console)
    server = tracking_uri.startswith(("http:", "https:"))
    ui = tracking_uri if server else f"mlflow ui --backend-store-uri {tracking_uri}"
    console.print(f"report  {os.path.relpath(files.html)}\nMLflow  {ui}", soft_wrap=True, highlight=False)
