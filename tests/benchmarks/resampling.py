"""What the resampling of a sweep's test images costs, beside what others take for the same intervals.

Run:      python -m tests.benchmarks.resampling [--quick]
Measures: CPU seconds for replicates of the balanced accuracy of 12 arms x 10 seeds, images drawn within their
          class: 15,561 images x 30 classes, B = 10,000. Of every arm's mean over its seeds, which is what a report
          takes, and of each of the 120 runs; programs are compared within each of the two.
Peers:    arch's IIDBootstrap and scipy.stats.bootstrap (percentile), a bootstrap a class: of all rows at once, in
          double and in single precision, the fastest that either was seen to do, and arm by arm; and a loop over
          scikit-learn's balanced_accuracy_score. All interleaved in one process on one thread. Peers do a part of
          the job, a fiftieth to a hundredth of B and one arm or run where they go by it; their seconds are scaled,
          and the last column checks that twice the resamples take twice as long.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from arch.bootstrap import IIDBootstrap
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import stats
from sklearn.metrics import balanced_accuracy_score
from threadpoolctl import threadpool_limits

from analysis.influence import Units, units_of
from analysis.resampling import Draws, linear_image_deviations
from tests.finished_sweep import long_tail

N_ARMS, N_SEEDS, N_CLASSES = 12, 10, 30
B = 10_000
ARMS, RUNS = "every arm's mean", "every run"

Rows = NDArray[np.floating]
"""Hits, one row a run or an arm's mean, [M, N]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Runs that are right or wrong on every image."""

    label: NDArray[np.int64]
    """Class of each image, [N]."""
    right: NDArray[np.bool_]
    """Hits of each run, [A R, N]."""
    units: Units

    @property
    def influence(self) -> NDArray[np.float64]:
        """Of each image on each run's balanced accuracy, [A R, N]."""
        sizes = self.units.class_sizes
        recalls = np.stack([np.bincount(self.label, row) for row in self.right.astype(np.float64)]) / sizes
        return np.asarray((self.right - recalls[:, self.label]) / (sizes * len(sizes))[self.label])


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One program's way, done in part."""

    of: str
    """What it makes replicates of: `ARMS` or `RUNS`."""
    name: str
    work: Callable[[int], object]
    """Does it with so many resamples."""
    n_resamples: int
    share: float = 1.0
    """What part of the rows it does."""

    def seconds(self) -> float:
        """CPU seconds for the whole job, scaled from the part."""
        return self._timed(self.n_resamples) / self.share * B / self.n_resamples

    def growth(self) -> float:
        """How much longer twice the resamples take: 2 where the scaling is right."""
        return self._timed(2 * self.n_resamples) / self._timed(self.n_resamples)

    def _timed(self, n_resamples: int) -> float:
        began = time.process_time()
        self.work(n_resamples)
        return time.process_time() - began


def drawn(n_images: int) -> Data:
    """A long tail of images, hard ones and easy ones."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(N_CLASSES), long_tail(n_images, N_CLASSES, rarest=10))
    ease = rng.normal(0.5, 1, n_images)
    right = ease + rng.normal(0, 0.6, (N_ARMS * N_SEEDS, n_images)) > 0
    units = units_of(label, np.char.zfill(np.arange(n_images).astype(str), 9), N_CLASSES)
    return Data(label=label, right=right, units=units)


def jobs(data: Data, scale: int) -> list[Job]:
    """dermtune's pass and each peer's way, of the arms' means and of all runs."""
    influence, hits = data.influence, data.right.astype(np.float64)
    part, one_arm = B // (50 * scale), hits[:N_SEEDS]
    return [
        *_at_once(ARMS, data, _arm_means(influence), _arm_means(hits), scale),
        *_at_once(RUNS, data, influence, hits, scale),
        Job(of=RUNS, name="arch, arm by arm", work=_arch(data, one_arm), n_resamples=part, share=1 / N_ARMS),
        Job(of=RUNS, name="scipy, arm by arm", work=_scipy(data, one_arm), n_resamples=part, share=1 / N_ARMS),
        Job(
            of=RUNS,
            name="scikit-learn, a loop",
            work=_sklearn(data),
            n_resamples=B // (100 * scale),
            share=1 / (N_ARMS * N_SEEDS),
        ),
    ]


def _at_once(of: str, data: Data, influence: NDArray[np.float64], hits: Rows, scale: int) -> list[Job]:
    whole, part, singles = B // scale, B // (50 * scale), hits.astype(np.float32)
    return [
        Job(of=of, name="dermtune", work=_dermtune(data, influence), n_resamples=whole),
        Job(of=of, name="arch", work=_arch(data, hits), n_resamples=part),
        Job(of=of, name="arch, single precision", work=_arch(data, singles), n_resamples=part),
        Job(of=of, name="scipy", work=_scipy(data, hits), n_resamples=part),
        Job(of=of, name="scipy, single precision", work=_scipy(data, singles), n_resamples=part),
    ]


def _arm_means(of_runs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over each arm's seeds of rows [A R, N], [A, N]."""
    return np.asarray(of_runs.reshape(N_ARMS, N_SEEDS, -1).mean(axis=1))


def _by_class(data: Data, rows: Rows) -> list[Rows]:
    """The rows on the images of each class, [M, n_k]."""
    return [np.ascontiguousarray(rows[:, data.label == k]) for k in range(N_CLASSES)]


def _dermtune(data: Data, influence: NDArray[np.float64]) -> Callable[[int], object]:
    return lambda n: linear_image_deviations(influence, data.units, Draws(n_resamples=n, seed=0))


def _arch(data: Data, rows: Rows) -> Callable[[int], object]:
    hits = [np.ascontiguousarray(of_class.T) for of_class in _by_class(data, rows)]
    return lambda n: [
        [draw[0][0].mean(axis=0) for draw in IIDBootstrap(of_class, seed=2).bootstrap(n)] for of_class in hits
    ]


def _scipy(data: Data, rows: Rows) -> Callable[[int], object]:
    hits, rng = _by_class(data, rows), np.random.default_rng(1)
    return lambda n: [
        stats.bootstrap(
            (of_class,), np.mean, n_resamples=n, method="percentile", axis=1, batch=10, vectorized=True, rng=rng
        )
        for of_class in hits
    ]


def _sklearn(data: Data) -> Callable[[int], object]:
    rng, rows = np.random.default_rng(1), [np.flatnonzero(data.label == k) for k in range(N_CLASSES)]
    predicted = np.where(data.right[0], data.label, (data.label + 1) % N_CLASSES)

    def loop(n: int) -> None:
        for _ in range(n):
            drawn = np.concatenate([rng.choice(of_class, len(of_class)) for of_class in rows])
            balanced_accuracy_score(data.label[drawn], predicted[drawn])

    return loop


def measured(all_jobs: list[Job], n_rounds: int) -> list[list[float]]:
    """Seconds of each job in each round, the jobs in turn."""
    rounds = [[job.seconds() for job in all_jobs] for _ in range(n_rounds)]
    return [list(of_job) for of_job in zip(*rounds, strict=True)]


def main() -> None:
    """Print a row a program: CPU seconds of the whole job, and how often dermtune's fit into them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the images and one round: does it run at all"
    )
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # a class of ten that every run gets right
    with threadpool_limits(1):
        all_jobs = jobs(drawn(1_556 if quick else 15_561), scale=2 if quick else 1)
        seconds = measured(all_jobs, n_rounds=1 if quick else 3)
        growth = [job.growth() for job in all_jobs]
    Console(width=100).print(_table(all_jobs, seconds, growth))


def _table(all_jobs: list[Job], seconds: list[list[float]], growth: list[float]) -> Table:
    table = Table(box=None)
    for heading in ("replicates of", "program"):
        table.add_column(heading, no_wrap=True)
    for heading in ("CPU s", "lowest", "highest", "times dermtune's", "twice B"):
        table.add_column(heading, justify="right", no_wrap=True)
    middles = [statistics.median(of_job) for of_job in seconds]
    ours = {job.of: m for job, m in zip(all_jobs, middles, strict=True) if job.name == "dermtune"}
    for job, of_job, middle, grown in zip(all_jobs, seconds, middles, growth, strict=True):
        figures = (f"{middle:,.2f}", f"{min(of_job):,.2f}", f"{max(of_job):,.2f}", f"{middle / ours[job.of]:,.1f}")
        table.add_row(job.of, job.name, *figures, f"{grown:.2f}")
    return table


if __name__ == "__main__":
    main()
