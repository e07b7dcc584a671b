"""The door: `python -m dermtune.export FOLDER` sends a sweep's folder, as far as it is, to an MLflow server."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from analysis.commandline import Parser, refuse
from analysis.words import count
from dermtune.config import UserError
from dermtune.ledger import SweepFolder
from dermtune.plan import Plan, Trial
from dermtune.recorded import picked, read_recorded
from dermtune.spared import spared_in
from dermtune.steps import steps
from dermtune.tracking import Exporter, Status
from dermtune.uris import shown, tracking_uri, where_to_look

PROG = "dermtune-export"

DESCRIPTION = """\
Send a sweep's folder to an MLflow server: one run for the sweep with its report,
one below it for each trial with its curves, scores, parameters and verdict.

The folder may be of a sweep that is finished, that was stopped, that was killed,
or that runs now; it is read and nothing in it is changed. What the server has
already is not sent again, so the same command completes what was cut off. It
needs neither the sweep file nor the recipe nor the images.
"""

EPILOG = """\
examples:
  python -m dermtune.export runs/focal_ls-laptop --tracking-uri http://mlflow.lan:5000
      to the team's server, after a sweep on another machine
  python -m dermtune.export runs/focal_ls-laptop
      the same folder into sqlite:///mlflow.db

environment:
  MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN
      for a server that asks for them: in a URI others on this machine could read them

exit codes: 0 the server has all that the folder has, 1 it could not be reached or
refused: the same command completes it, 2 bad input, 130 stopped by SIGINT.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What was asked on the command line."""

    folder: Path
    tracking_uri: str


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code; its `--help` says what each means."""
    asked = Arguments(**vars(_parser().parse_args(argv)))
    try:
        return _export(SweepFolder(asked.folder), asked.tracking_uri, Console())
    except UserError as error:
        return refuse(PROG, str(error))
    except KeyboardInterrupt:
        return refuse(PROG, "stopped by SIGINT; the same command goes on from here", code=130)


def _export(folder: SweepFolder, uri: str, console: Console) -> int:
    recorded = read_recorded(folder)
    plans, n_sent = [plan for plan in (recorded.first, recorded.plan) if plan is not None], 0
    runs_now = folder.has_driver()
    for plan in plans:
        exporter = _sent(plan, folder, uri, recorded.question, console, runs_now=runs_now and plan is plans[-1])
        if exporter is None:
            return 1
        n_sent += len(exporter.written)
    closing = _closing(plans, folder, n_sent, uri, runs_now=runs_now)
    console.print(closing, soft_wrap=True, markup=False, highlight=False)
    return 0


def _sent(
    plan: Plan, folder: SweepFolder, uri: str, question: str, console: Console, *, runs_now: bool
) -> Exporter | None:
    """What has sent all of a stage; None where it could not, which a line says."""
    with steps(console) as progress:
        what = f"{plan.folder_name}, {plan.stage or 'trials'}"
        exporter = Exporter(
            uri, plan, folder, question, lambda n_trials: progress(what, n_trials, len(plan.trials))
        )
        if plan.stage and picked(folder) is not None:
            exporter.attach((folder.selection,))
        elif not plan.stage and folder.report.exists():
            exporter.attach((folder.report,))
        if runs_now:
            for trial in _begun(plan, folder):
                exporter.started(trial)
        complete = exporter.finish("RUNNING" if runs_now else _status(plan, folder))
    if not complete:
        where = f"MLflow at {shown(uri)} must take all of {os.path.relpath(folder.path)}"
        refuse(PROG, f"{where}: {exporter.why}; the same command completes it", code=1)
    return exporter if complete else None


def _begun(plan: Plan, folder: SweepFolder) -> Iterator[Trial]:
    """The trials that a driver which is alive trains now, or will go on with."""
    for trial in plan.trials:
        files = folder.trial(trial.trial_id)
        if files.path.is_dir() and files.failure() is None and files.pruned() is None:
            yield trial


def _status(plan: Plan, folder: SweepFolder) -> Status:
    """How a stage's run ends: cut off, where a trial has neither a result nor a reason for having none.

    A first stage has ended where it has picked.
    """
    if plan.stage:
        return "FINISHED" if picked(folder) is not None else "KILLED"
    trials = [folder.trial(trial.trial_id) for trial in _asked_for(plan, folder)]
    return "FINISHED" if all(t.is_done() or t.failure() is not None for t in trials) else "KILLED"


def _asked_for(plan: Plan, folder: SweepFolder) -> list[Trial]:
    """The trials that are done or still to come: what a look of adaptive repeats has spared is neither."""
    not_asked = frozenset() if plan.stage else spared_in(folder, plan)
    return [trial for trial in plan.trials if trial.trial_id not in not_asked]


def _closing(plans: Sequence[Plan], folder: SweepFolder, n_sent: int, uri: str, *, runs_now: bool) -> str:
    plan, trials = plans[-1], [trial for plan in plans for trial in _asked_for(plan, folder)]
    done = f"{len(folder.done(trials))} of {count(len(trials), 'trial')} done"
    sent = f"{count(n_sent, 'run')} sent" if n_sent else "nothing was missing"
    later = "; the sweep runs now, the same command sends what comes later" if runs_now else ""
    report = "" if folder.report.is_dir() else "; there is no report yet"
    look = f"MLflow  {where_to_look(uri)}, experiment {plan.sweep.name}"
    return f"{plan.folder_name}: {done}; {sent}{report}{later}\n{look}"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROG, description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a sweep's folder, such as runs/focal_ls-laptop"
    )
    parser.add_argument(
        "--tracking-uri", type=tracking_uri, default="sqlite:///mlflow.db", metavar="URI",
        help="MLflow's store or server; default: sqlite:///mlflow.db",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
