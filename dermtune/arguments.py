"""The sweep's command line."""

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from analysis.commandline import Parser, whole_number
from dermtune.uris import storage_uri, tracking_uri

PROG = "dermtune-sweep"

DESCRIPTION = """\
Run a sweep: every arm of the question with every seed, as trials on Ray Tune.

Images, classes and model come from the recipe, levers and seeds from the sweep
file. Results go to OUT/<sweep>-<recipe>/ and to MLflow. The same command again
goes on where it stopped: what is done is not run again, a trial that was cut
off goes on from its last epoch, and a larger --seeds adds to what is there.
"""

EPILOG = """\
examples:
  python -m dermtune.sweep sweeps/focal_ls.py
      the laptop recipe: drawn images, minutes on a CPU
  python -m dermtune.sweep sweeps/focal_ls.py --recipe ham10000 --data DIR --dry-run
      arms, trials, hours, and the smallest delta that the design can see
  python -m dermtune.sweep sweeps/focal_ls.py --recipe my_recipe.py --seeds 10
      your own data and model, ten seeds an arm

environment:
  DERMTUNE_CACHE   decoded images and fingerprints (default ~/.cache/dermtune)
  HF_TOKEN         for gated models such as google/medsiglip-448
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL
                   of --storage, on every node

exit codes: 0 all trials done, 1 trials failed, or the budget or the room on the
disk ended before them, 2 bad input, 128 and its number stopped by a signal: 130
SIGINT (Ctrl-C; once more skips MLflow), 143 SIGTERM, 129 SIGHUP (the terminal
was closed), 138 SIGUSR1 (the time that SLURM gave is nearly up). The same
command goes on.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What was asked on the command line."""

    file: Path
    recipe: str
    data: Path | None
    seeds: int | None
    out: Path
    address: str | None
    storage: str | None
    wait_for_nodes: float
    """Minutes."""
    gpus_per_trial: float | None
    cpus_per_trial: float | None
    processes_per_trial: int | None
    micro_batch: int | Literal["auto"] | None
    tracking_uri: str
    log_model: bool
    stop_after_selection: bool
    dry_run: bool
    max_hours: float | None
    max_usd: float | None
    usd_per_hour: float | None
    cache: Path
    """Where decoded images are kept."""


def parse(argv: Sequence[str] | None = None) -> Arguments:
    """The arguments, checked; where they are bad, one line says so and the process ends with code 2."""
    parser = _parser()
    asked = parser.parse_args(argv)
    if asked.max_usd is not None and asked.usd_per_hour is None:
        parser.error("--max-usd needs --usd-per-hour: what an hour of a GPU, or of a trial without one, costs")
    cache = os.environ.get("DERMTUNE_CACHE") or "~/.cache/dermtune"
    return Arguments(**vars(asked), cache=Path(cache).expanduser())


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROG, description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="the question, such as sweeps/focal_ls.py")
    add(
        "--recipe", default="laptop", metavar="NAME-or-FILE",
        help="laptop (default), ham10000, medsiglip, or a Python file with recipe()",
    )  # fmt: skip
    add("--data", type=Path, metavar="DIR", help="where the recipe's images and metadata are")
    add("--seeds", type=whole_number, metavar="N", help="the first N seeds of the sweep; more can be added later")
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="default: runs/")
    _add_machines(parser)
    add(
        "--tracking-uri", type=tracking_uri, default="sqlite:///mlflow.db", metavar="URI",
        help="MLflow's store or server; default: sqlite:///mlflow.db",
    )  # fmt: skip
    add(
        "--log-model", action="store_true",
        help="log the best arm's trained model in MLflow, of its seeds the best on val; weights are kept till then",
    )  # fmt: skip
    add(
        "--stop-after-selection", action="store_true",
        help="end when a sweep's first stage has picked its arms; the same command without it goes on",
    )  # fmt: skip
    add(
        "--dry-run",
        action="store_true",
        help="show design, timed cost and smallest detectable delta; start nothing",
    )
    add(
        "--max-hours", type=_positive, metavar="H",
        help="start no trial that would exceed so many hours in all; every attempt counts, whatever came of it",
    )  # fmt: skip
    add("--max-usd", type=_positive, metavar="X", help="the same in dollars; needs --usd-per-hour")
    add("--usd-per-hour", type=_positive, metavar="Y", help="price of a GPU hour, or of a trial's without a GPU")
    return parser


def _add_machines(parser: argparse.ArgumentParser) -> None:
    """Where trials run, and what each one occupies there."""
    add = parser.add_argument
    add("--address", metavar="ADDR", help="a running Ray cluster; default: a local one, made and stopped")
    add(
        "--storage", type=storage_uri, metavar="URI",
        help="s3://BUCKET/PREFIX: what trials send on nodes that do not see OUT; default: all nodes see OUT",
    )  # fmt: skip
    add(
        "--wait-for-nodes", type=_amount, default=0.0, metavar="MIN",
        help="minutes to wait for a node that a trial fits on, where a cluster grows by itself; default: none",
    )  # fmt: skip
    add(
        "--gpus-per-trial", type=_amount, metavar="F",
        help="a fraction shares a GPU, 4 are four processes; default: the recipe's, or one each where there is one",
    )  # fmt: skip
    add("--cpus-per-trial", type=_positive, metavar="F", help="cores of a trial; default: the recipe's")
    add(
        "--processes-per-trial", type=whole_number, metavar="N",
        help="processes that train a trial together, a GPU or a part of its cores each; default: the recipe's",
    )  # fmt: skip
    add(
        "--micro-batch", type=pass_size, metavar="N",
        help="images that a forward pass holds, or auto: as many as a GPU has room for; default: the recipe's",
    )  # fmt: skip


def pass_size(text: str) -> int | Literal["auto"]:
    """What a forward pass holds, from a command line. Raises argparse.ArgumentTypeError."""
    return "auto" if text == "auto" else whole_number(text)


def _positive(text: str) -> float:
    if _amount(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return float(text)


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, got {text!r}")
    return value
