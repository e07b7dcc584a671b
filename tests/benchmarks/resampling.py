"""What the resampling of a sweep's test images costs, beside what others take for the same intervals.

Run:      python -m tests.benchmarks.resampling [--quick]
Measures: CPU seconds for replicates of the balanced accuracy of 12 arms x 10 seeds, images drawn within their
          class: 15,561 images x 30 classes, B = 10,000. dermtune makes one pass over the draws for all arms' mean
          scores; a row each says what a second metric, and every run by itself, costs on top.
Peers:    arch's IIDBootstrap and scipy.stats.bootstrap (percentile), a bootstrap a class: arm by arm with its ten
          runs, and with all 120 runs at once, in double and in single precision, the fastest that either was seen
          to do; and a loop over scikit-learn's balanced_accuracy_score. All interleaved in one process on one
          thread. Peers do a part of the job, a fiftieth to a hundredth of B and one arm or run where they go by it;
          their seconds are scaled, and the last column checks that twice the resamples take twice as long.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
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
ALL = slice(None)


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

    name: str
    work: Callable[[int], object]
    """Does it with so many resamples."""
    n_resamples: int
    share: float = 1.0
    """What part of all runs it does."""

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
    """dermtune's pass, and each peer's way."""
    influence = data.influence
    of_arms = influence.reshape(N_ARMS, N_SEEDS, -1).mean(axis=1)

    def ours(rows: NDArray[np.float64]) -> Callable[[int], object]:
        return lambda n: linear_image_deviations(rows, data.units, Draws(n_resamples=n, seed=0))

    whole, part, arm = B // scale, B // (50 * scale), slice(N_SEEDS)
    return [
        Job(name="dermtune", work=ours(of_arms), n_resamples=whole),
        Job(name="  with a second metric", work=ours(np.concatenate([of_arms, of_arms[::-1]])), n_resamples=whole),
        Job(name="  every run by itself", work=ours(influence), n_resamples=whole),
        Job(name="arch, arm by arm", work=_with_arch(data, arm), n_resamples=part, share=1 / N_ARMS),
        Job(name="  all runs at once", work=_with_arch(data), n_resamples=part),
        Job(name="  in single precision", work=_with_arch(data, kind=np.float32), n_resamples=part),
        Job(name="scipy, arm by arm", work=_with_scipy(data, arm), n_resamples=part, share=1 / N_ARMS),
        Job(name="  all runs at once ", work=_with_scipy(data), n_resamples=part),
        Job(name="  in single precision ", work=_with_scipy(data, kind=np.float32), n_resamples=part),
        Job(
            name="scikit-learn, a loop",
            work=_with_sklearn(data),
            n_resamples=B // (100 * scale),
            share=1 / (N_ARMS * N_SEEDS),
        ),
    ]


def _by_class(data: Data, runs: slice, kind: type[np.floating]) -> list[NDArray[np.floating]]:
    """Hits of these runs on the images of each class, [runs, n_k]."""
    return [np.ascontiguousarray(data.right[runs, data.label == k].astype(kind)) for k in range(N_CLASSES)]


def _with_arch(data: Data, runs: slice = ALL, *, kind: type[np.floating] = np.float64) -> Callable[[int], object]:
    hits = [np.ascontiguousarray(of_class.T) for of_class in _by_class(data, runs, kind)]
    return lambda n: [
        [draw[0][0].mean(axis=0) for draw in IIDBootstrap(of_class, seed=2).bootstrap(n)] for of_class in hits
    ]


def _with_scipy(data: Data, runs: slice = ALL, *, kind: type[np.floating] = np.float64) -> Callable[[int], object]:
    hits, rng = _by_class(data, runs, kind), np.random.default_rng(1)
    return lambda n: [
        stats.bootstrap(
            (of_class,), np.mean, n_resamples=n, method="percentile", axis=1, batch=10, vectorized=True, rng=rng
        )
        for of_class in hits
    ]


def _with_sklearn(data: Data) -> Callable[[int], object]:
    rng, rows = np.random.default_rng(1), [np.flatnonzero(data.label == k) for k in range(N_CLASSES)]
    predicted = np.where(data.right[0], data.label, (data.label + 1) % N_CLASSES)

    def loop(n: int) -> None:
        for _ in range(n):
            drawn = np.concatenate([rng.choice(of_class, len(of_class)) for of_class in rows])
            balanced_accuracy_score(data.label[drawn], predicted[drawn])

    return loop


def measured(all_jobs: list[Job], n_rounds: int) -> Mapping[str, list[float]]:
    """Seconds of each job in each round, the jobs in turn."""
    found: dict[str, list[float]] = {job.name: [] for job in all_jobs}
    for _ in range(n_rounds):
        for job in all_jobs:
            found[job.name].append(job.seconds())
    return found


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
        found = measured(all_jobs, n_rounds=1 if quick else 3)
        growth = {job.name: job.growth() for job in all_jobs}
    first = statistics.median(found[all_jobs[0].name])
    table = Table(box=None)
    for heading in (
        "program",
        "CPU s, median",
        "lowest",
        "highest",
        "times dermtune's",
        "twice the resamples take",
    ):
        table.add_column(heading, justify="left" if heading == "program" else "right")
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        cells = (f"{middle:,.2f}", f"{min(seconds):,.2f}", f"{max(seconds):,.2f}", f"{middle / first:,.1f}")
        table.add_row(name, *cells, f"{growth[name]:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
