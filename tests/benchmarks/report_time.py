"""How long a finished sweep takes to judge, from its folder to the report's files, and how much memory.

Run:      python -m tests.benchmarks.report_time [--thousand]
Measures: seconds of loading, comparing (10,000 resamples, the metric and its guard) and writing, and the peak of
          resident memory, each size in a new process on a folder drawn before; then the command itself, Python's
          start to the last of its files; both with --quick (the verdicts) and without (all that is made of test,
          val and mirrored images); then the quick steps with fewer and with more resamples. `--thousand` takes
          1,000 trials instead, with --quick: 2 GB of files.
Peer:     scikit-learn's balanced_accuracy_score in a loop over 1,000 bootstrap resamples of one run. It is measured
          per resample; the time for every run at 10,000 resamples is extrapolated, not run.
"""

import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from sklearn.metrics import balanced_accuracy_score

from analysis.comparison import compare
from analysis.predictions import read_predictions
from analysis.report import write_report
from analysis.sources import load_study
from tests.finished_sweep import HAM10000, long_tail, write_sweep

N_RESAMPLES = 10_000
OTHER_RESAMPLES = (1_000, 100_000)
PEER_RESAMPLES = 1_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A sweep to judge."""

    n_arms: int
    n_seeds: int
    images: Sequence[int]
    """Test images of each class."""

    def __str__(self) -> str:
        n, k = sum(self.images), len(self.images)
        return f"{self.n_arms} arms x {self.n_seeds} seeds x {n:,} images x {k} classes"


SIZES = (
    Size(n_arms=8, n_seeds=5, images=HAM10000),
    Size(n_arms=12, n_seeds=10, images=long_tail(15_561, 30, rarest=10)),
)

THOUSAND = Size(n_arms=100, n_seeds=10, images=long_tail(15_561, 30, rarest=10))

console = Console(highlight=False, soft_wrap=True)


def timed(step: str, work: Callable[[], T]) -> T:
    """What the work returns; its name and its seconds are printed."""
    began, cpu = time.perf_counter(), time.process_time()
    made = work()
    seconds, of_cpu = time.perf_counter() - began, time.process_time() - cpu
    console.print(f"  {step}: {seconds:.2f} s ({of_cpu:.2f} CPU s)")
    return made


def judge(folder: Path, n_resamples: int, *, quick: bool) -> None:
    """Judge the sweep in this process, and print what each step takes."""
    study = timed("load", lambda: load_study(folder, quick=quick))
    report = timed("compare", lambda: compare(study, n_resamples=n_resamples, quick=quick))
    timed("write", lambda: write_report(report, folder / "report"))
    console.print(f"  peak memory: {peak_mib():.0f} MiB")


def peak_mib() -> float:
    """The most resident memory that this process ever had; ru_maxrss would count its parent's."""
    (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kib) / 1024


def peer(folder: Path, n_runs: int) -> None:
    """Bootstrap one run's balanced accuracy as a loop over scikit-learn's function does it."""
    run = read_predictions(next(folder.glob("trials/*/test.parquet")))
    label, predicted, rng = run.label, run.logits.argmax(axis=1), np.random.default_rng(0)
    rows = [np.flatnonzero(label == k) for k in range(len(run.classes))]
    began = time.process_time()
    for _ in range(PEER_RESAMPLES):
        drawn = np.concatenate([rng.choice(of_class, len(of_class)) for of_class in rows])
        balanced_accuracy_score(label[drawn], predicted[drawn])
    each = (time.process_time() - began) / PEER_RESAMPLES
    console.print(
        f"  scikit-learn loop: {1000 * each:.2f} CPU ms a resample of one run; {N_RESAMPLES:,} of {n_runs} runs, "
        f"extrapolated: {each * N_RESAMPLES * n_runs:,.0f} CPU s"
    )


def main() -> None:
    """Draw, judge and compare each size, or judge the one folder that is named."""
    match sys.argv[1:]:
        case ["--here", folder, n_resamples, *how]:
            judge(Path(folder), int(n_resamples), quick="--quick" in how)
        case ["--thousand"]:
            measure(THOUSAND, whole=False)
        case _:
            for size in SIZES:
                measure(size, OTHER_RESAMPLES)


def measure(size: Size, other_resamples: Sequence[int] = (), *, whole: bool = True) -> None:
    """All figures of one size."""
    console.print(str(size))
    gains = {"baseline": 0.0} | {f"focal_gamma={i}": 0.05 * i for i in range(1, size.n_arms)}
    with tempfile.TemporaryDirectory() as parent:
        seeds = range(size.n_seeds)
        folder = write_sweep(Path(parent) / "sweep", gains, seeds=seeds, sizes=size.images, whole=whole)
        for how in (["--quick"], []) if whole else (["--quick"],):
            console.print(f" {how[0] if how else 'all'}")
            judge_apart(folder, N_RESAMPLES, how)
            command(folder, how)
        for n_resamples in other_resamples:
            console.print(f" --quick, {n_resamples:,} resamples")
            judge_apart(folder, n_resamples, ["--quick"])
        peer(folder, size.n_arms * size.n_seeds)


def judge_apart(folder: Path, n_resamples: int, how: Sequence[str]) -> None:
    """Judge the sweep in a new process, which prints its figures."""
    here = ["-m", "tests.benchmarks.report_time", "--here", str(folder), str(n_resamples), *how]
    subprocess.run([sys.executable, *here], check=True)


def command(folder: Path, how: Sequence[str]) -> None:
    """Print what `python -m analysis.significance` takes with every file that it can write."""
    files = [
        word for kind in ("json", "html", "markdown") for word in (f"--{kind}", str(folder / f"report.{kind}"))
    ]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    door = [sys.executable, "-m", "analysis.significance", str(folder), *how, *files]
    subprocess.run(door, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    of_cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    console.print(f"  the command: {seconds:.2f} s ({of_cpu:.2f} CPU s)")


if __name__ == "__main__":
    main()
