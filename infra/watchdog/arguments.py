"""The watchdog's command line."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.commandline import Parser, file_path, whole_number
from infra.watchdog import values
from infra.watchdog.journal import default_folder
from infra.watchdog.limits import Limits
from infra.watchdog.runpod import API_URL

PROG = "dermtune-watchdog"

DESCRIPTION = """\
Watch a rented machine that runs a sweep: pull its results, compare hashes, end
the machine, and make sure that it is gone.
"""

EPILOG = """\
examples:
  python -m infra.watchdog run POD_ID --remote /workspace/runs/focal_ls-medsiglip \\
      --into runs/ --deadline-hours 12 --max-usd 40 --idle-minutes 30
      the pod's address and price come from RunPod
  python -m infra.watchdog orphans
      pods that run and that nobody watches
  python -m infra.watchdog orphans --terminate
      pull and compare what a killed watchdog watched, then end it

how a machine is ended: the sweep is over, or nothing changes for the idle
limit: results are pulled and every sha256 is compared, then it is ended. Before
the deadline or the cap strikes, by --grace-minutes, the sweep is told to stop in
order and the same is done; at the limit the machine is ended whether its results
are safe or not, and what was not is named. It is gone when the provider says so
twice, by its id and by its list of all machines.

A killed watchdog goes on with the same command. `run --help` and `orphans --help`
list the options.

environment:
  RUNPOD_API_KEY   the key; it is in no output and in no file

exit codes: 0 all results are safe and the machine is gone; of `orphans`: there is
none. 1 gone, by a limit or with a loss; of `orphans`: there are some. 2 bad input.
3 STILL RUNNING AND BILLED: end it by hand at https://console.runpod.io
"""

RUN = """\
Watch one machine to its end. It is written down before it counts as watched, so
that after a kill the same command, or `orphans --terminate`, goes on with it.
Start it where it can stay: on a computer that does not sleep.
"""

ORPHANS = """\
List the machines that run and that nobody watches: those a watchdog of this
computer was killed beside, and those with our prefix that none ever knew.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What both commands take."""

    api_url: str
    state: Path
    """The journal's folder."""
    prefix: str
    """With which the names of our machines begin."""
    answer: float
    """Seconds for one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What `run` was asked."""

    common: Common
    machine_id: str
    host: str | None
    port: int | None
    remote: str
    into: Path
    limits: Limits
    usd_per_hour: float | None
    ssh: str | None
    rsync: str
    python: str
    json: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """What `orphans` was asked."""

    common: Common
    terminate: bool
    abandon: Sequence[str]
    """Ids of machines whose results are given up."""


def parse(argv: Sequence[str] | None = None) -> Run | Orphans:
    """The arguments, checked; where they are bad, one line says so and the process ends with code 2."""
    asked = parser().parse_args(argv)
    common = Common(api_url=asked.api_url, state=asked.state, prefix=asked.prefix, answer=asked.answer_seconds)
    if asked.command == "orphans":
        return Orphans(common=common, terminate=asked.terminate, abandon=tuple(asked.abandon))
    return Run(
        common=common,
        machine_id=asked.machine_id,
        host=asked.host,
        port=asked.port,
        remote=asked.remote,
        into=(asked.into / Path(asked.remote).name).absolute(),
        limits=_limits(asked),
        usd_per_hour=asked.usd_per_hour,
        ssh=asked.ssh,
        rsync=asked.rsync,
        python=asked.remote_python,
        json=asked.json,
    )


def _limits(asked: argparse.Namespace) -> Limits:
    return Limits(
        deadline=3600 * asked.deadline_hours,
        max_usd=asked.max_usd,
        idle=60 * asked.idle_minutes,
        grace=60 * asked.grace_minutes,
        poll=asked.poll_seconds,
        pull=60 * asked.pull_minutes,
        answer=asked.answer_seconds,
        give_up=60 * asked.give_up_minutes,
        start=60 * asked.start_minutes,
    )


def parser() -> argparse.ArgumentParser:
    """The whole command line, both commands in it."""
    top = Parser(prog=PROG, description=DESCRIPTION, epilog=EPILOG)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_OfOne)
    run = commands.add_parser("run", help="watch a machine to its end", description=RUN)
    orphans = commands.add_parser("orphans", help="machines that nobody watches", description=ORPHANS)
    _add_run(run)
    _add_limits(run)
    _add_reach(run)
    add = orphans.add_argument
    add("--terminate", action="store_true", help="pull and compare what is known of each, and end it")
    add(
        "--abandon", action="append", default=[], metavar="POD_ID",
        help="end this one without its results; may be given again",
    )  # fmt: skip
    for command in (run, orphans):
        _add_common(command)
    return top


def options() -> frozenset[str]:
    """Every option of both commands."""
    commands = next(
        action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    named = {name for command in commands.values() for action in command._actions for name in action.option_strings}
    return frozenset(named - {"-h", "--help"})


class _OfOne(Parser):
    """A command's own parser, which has no more to tell than its options."""

    def __init__(self, *, prog: str, description: str = "", **_: object) -> None:
        super().__init__(prog=prog, description=description, epilog=f"{PROG} --help has examples and exit codes.")


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("machine_id", metavar="POD_ID", help="the machine, as the provider calls it")
    add(
        "--remote",
        required=True,
        type=values.folder,
        metavar="DIR",
        help="the sweep's folder on it, absolute or from ssh's home",
    )
    add(
        "--into", required=True, type=Path, metavar="DIR", help="where that folder is pulled to, under its own name"
    )
    add(
        "--host", type=values.host, metavar="USER@HOST",
        help="default: root at the address that the provider tells, also when it changes",
    )  # fmt: skip
    add(
        "--port", type=whole_number, metavar="N", help="of ssh; default: what the provider tells, or 22 with --host"
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--deadline-hours",
        required=True,
        type=values.positive,
        metavar="H",
        help="the machine ends so long after its start",
    )
    add("--max-usd", type=values.positive, metavar="X", help="it ends before it has cost more")
    add("--usd-per-hour", type=values.positive, metavar="Y", help="its price; default: what the provider tells")
    add(
        "--idle-minutes",
        type=values.positive,
        default=30.0,
        metavar="M",
        help="nothing may change for so long, once a sweep has run there; default 30",
    )
    add(
        "--start-minutes", type=values.positive, default=120.0, metavar="M",
        help="for so long no sweep may have begun: set up, send and decode images; default 120",
    )  # fmt: skip
    add(
        "--grace-minutes", type=values.positive, default=10.0, metavar="M",
        help="so long before deadline and cap the sweep is told to stop, and results are pulled; default 10",
    )  # fmt: skip
    add(
        "--pull-minutes",
        type=values.positive,
        default=5.0,
        metavar="M",
        help="between two pulls while it runs; default 5",
    )
    add("--poll-seconds", type=values.positive, default=30.0, metavar="S", help="between two looks; default 30")
    add(
        "--give-up-minutes", type=values.positive, default=15.0, metavar="M",
        help="one not gone so long after it was ended is told as still running, and asked on; default 15",
    )  # fmt: skip


def _add_reach(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--ssh",
        type=values.command,
        metavar="CMD",
        help="ssh and its options; default: OpenSSH, which learns each machine's key at first sight",
    )
    add(
        "--rsync",
        type=values.command,
        default="rsync",
        metavar="CMD",
        help="rsync and further options of it; default: rsync",
    )
    add(
        "--remote-python",
        type=values.command,
        default="python3",
        metavar="CMD",
        help="a Python on the machine, 3.8 or later; default: python3",
    )
    add("--json", type=file_path, metavar="F", help="write the report for programs")


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--prefix",
        default="dermtune",
        metavar="TEXT",
        help="how the names of our machines begin; default: dermtune",
    )
    add(
        "--state", type=Path, default=default_folder(), metavar="DIR",
        help="where the machines are written down; default: ~/.local/state/dermtune/watchdog",
    )  # fmt: skip
    add(
        "--answer-seconds",
        type=values.positive,
        default=20.0,
        metavar="S",
        help="for one answer of the provider; default 20",
    )
    add("--api-url", type=values.url, default=API_URL, metavar="URL", help=f"of the provider; default: {API_URL}")
