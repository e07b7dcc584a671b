"""What the number of trials costs the driver, in memory and in time.

Run:      python -m tests.benchmarks.driver_memory [N ...]
Measures: a driver's own process after N fake trials of one epoch that train nothing, each N in a new process: its
          resident memory when the tenth trial has ended and when the last has, and the seconds a trial in between,
          which are nothing but overhead.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
from rich.console import Console

from dermtune import tuner
from dermtune.board import Board
from dermtune.ledger import SweepFolder
from dermtune.plan import Plan, Trial
from dermtune.tuner.cluster import connected
from tests.plans import planned
from tests.tuner_workers import PLACE, Diary, Fake

SIZES = (50, 200, 500)
WARM = 10
"""Trials after which all is loaded."""


class Meter(Board):
    """A board that notes time and memory whenever a trial has ended."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, {})
        self.ends: list[tuple[float, int]] = []

    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:
        super().finished(trial, scores)
        self.ends.append((time.monotonic(), psutil.Process().memory_info().rss))


def measure(n_trials: int) -> str:
    """One line of figures, from a driver that runs so many trials."""
    the_plan = planned(n_arms=1, n_seeds=n_trials, epochs=1)
    meter = Meter(the_plan)
    with tempfile.TemporaryDirectory() as folder, connected(None):
        fake = Fake(diary=Diary(Path(folder) / "diary"), epochs=1)
        tuner.run(the_plan.trials, SweepFolder(Path(folder) / "sweep"), PLACE, monitors=[meter], execute=fake)
    (began, early), (ended, late) = meter.ends[WARM - 1], meter.ends[-1]
    n, mib = len(meter.ends) - WARM, 2**20
    return (
        f"{n_trials} trials: {early / mib:.0f} MiB after {WARM}, {late / mib:.0f} MiB at the end, "
        f"{(late - early) / n / 1024:.1f} KiB a trial; {(ended - began) / n * 1000:.0f} ms a trial"
    )


def main() -> None:
    """Measure each size in a process of its own, or the one that is asked for in this."""
    console = Console(highlight=False, soft_wrap=True)
    match sys.argv[1:]:
        case ["--here", n]:
            console.print(measure(int(n)))
        case sizes:
            for n in sizes or map(str, SIZES):
                subprocess.run([sys.executable, "-m", "tests.benchmarks.driver_memory", "--here", n], check=True)


if __name__ == "__main__":
    main()
