"""What Ray costs a sweep of many small trials: the driver's time and memory, and how soon all slots have work.

Run:      python -m tests.benchmarks.thousand_trials [N]
          python -m tests.benchmarks.thousand_trials --fill SLOTS
Measures: a driver that runs N trials (1,000) of one epoch that train nothing but leave what a trial leaves, with
          the live view's board, the budget and the ledger as in a real sweep: wall time, CPU seconds of the driver
          and its resident memory, by how many trials have ended. And, on a machine that says it has so many cores,
          the seconds from the first trial's start to that of the trial that takes the last slot, with Tune's
          default of one process that starts at a time and with as many as there are slots.
"""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import psutil
from rich.console import Console

from dermtune import tuner
from dermtune.board import Board
from dermtune.ledger import SweepFolder
from dermtune.plan import Plan, Trial
from dermtune.tuner import cluster
from tests.plans import planned
from tests.tuner_workers import PLACE, Diary, Fake

N_TRIALS = 1000
MARKS = (10, 100, 200, 500)
"""Numbers of ended trials after which is looked, beside the last."""
SLOW = 3600.0
"""Seconds of a trial that is not to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The driver at one moment."""

    n_ended: int
    wall: float
    cpu: float
    """Seconds of this process, in its own code and in the kernel's."""
    memory: int
    """Resident, bytes."""


class Meter(Board):
    """A board that looks at its own process when enough trials have ended."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, {})
        self.readings: list[Reading] = []
        self._marks = {*MARKS, len(plan.trials)}
        self._n_ended = 0

    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:
        super().finished(trial, scores)
        self._n_ended += 1
        if self._n_ended in self._marks:
            process, times = psutil.Process(), os.times()
            self.readings.append(
                Reading(
                    n_ended=self._n_ended,
                    wall=time.monotonic(),
                    cpu=times.user + times.system,
                    memory=process.memory_info().rss,
                )
            )


def thousand(n_trials: int) -> list[Reading]:
    """What the driver of so many trials takes."""
    the_plan = planned(n_arms=10, n_seeds=n_trials // 10, epochs=1)
    meter = Meter(the_plan)
    with tempfile.TemporaryDirectory() as folder, cluster.connected(None):
        fake = Fake(diary=Diary(Path(folder) / "diary"), epochs=1)
        tuner.run(the_plan.trials, SweepFolder(Path(folder) / "sweep"), PLACE, monitors=[meter], execute=fake)
    return meter.readings


class Starts(Board):
    """A board that notes when trials start, and ends the sweep once so many have."""

    def __init__(self, plan: Plan, n_slots: int) -> None:
        super().__init__(plan, {})
        self._n_slots = n_slots
        self.at: list[float] = []

    def started(self, trial: Trial) -> None:
        super().started(trial)
        self.at.append(time.monotonic())
        if len(self.at) == self._n_slots:
            os.kill(os.getpid(), signal.SIGINT)


def fill(n_slots: int, at_a_time: str) -> float:
    """Seconds from the first trial's start to that of the last slot's, with so many processes begun at a time."""
    the_plan = planned(n_arms=2, n_seeds=n_slots)
    starts = Starts(the_plan, n_slots)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(cluster.LOCAL, {"num_cpus": n_slots}),
        mock.patch.dict(cluster.ENVIRONMENT, {"TUNE_MAX_PENDING_TRIALS_PG": at_a_time}),
    ):
        fake = Fake(diary=Diary(Path(folder) / "diary"), seconds=SLOW)
        tuner.run(the_plan.trials, SweepFolder(Path(folder) / "sweep"), PLACE, monitors=[starts], execute=fake)
    return starts.at[-1] - starts.at[0]


def print_thousand(n_trials: int, console: Console) -> None:
    """A line a mark: what the trials since the mark before took each, and the memory."""
    readings = thousand(n_trials)
    for before, now in itertools.pairwise(readings):
        n = now.n_ended - before.n_ended
        console.print(
            f"trials {before.n_ended + 1} to {now.n_ended}: {(now.wall - before.wall) / n * 1000:.0f} ms each, "
            f"{(now.cpu - before.cpu) / n * 1000:.1f} CPU ms of the driver; then {now.memory / 2**20:.0f} MiB"
        )


def main() -> None:
    """Measure what is asked for, in processes of their own."""
    console = Console(highlight=False, soft_wrap=True)
    match sys.argv[1:]:
        case ["--fill", n, at_a_time]:
            console.print(f"{n} slots, {at_a_time} started at a time: {fill(int(n), at_a_time):.1f} s")
        case ["--fill", n]:
            for at_a_time in ("1", cluster.ENVIRONMENT["TUNE_MAX_PENDING_TRIALS_PG"]):
                command = [sys.executable, "-m", "tests.benchmarks.thousand_trials", "--fill", n, at_a_time]
                subprocess.run(command, check=True)
        case n:
            print_thousand(int(n[0]) if n else N_TRIALS, console)


if __name__ == "__main__":
    main()
