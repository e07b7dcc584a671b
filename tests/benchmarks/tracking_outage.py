"""What a tracking server that is away costs the training: seconds a trial beside those without any tracking.

Run:      python -m tests.benchmarks.tracking_outage [--repeats N] [--epochs N]
Measures: `seconds` of each trial's manifest, of the laptop recipe through the tuner with one trial at a time:
          without an exporter, with SQLite, with a server that refuses every connection, and with one that accepts
          every connection and answers none. And all that tracking can take from training: the driver's CPU
          seconds beyond those without tracking, and the seconds for which it holds up the driver that a worker
          reports to.
Compares: each way's trial with the one without tracking of the same repeat and seed; the ways take turns, each
          repeat in another order, so that what else the machine does falls on all alike. A trial's seconds vary by
          more than a hundredth; `at most` does not: it is what tracking takes, as a share of the trials' seconds.
"""

import argparse
import contextlib
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from dermtune import tuner
from dermtune.data.dataset import open_dataset
from dermtune.data.place import Place
from dermtune.ledger import SweepFolder
from dermtune.machines import Machines
from dermtune.opened import fingerprints
from dermtune.plan import Plan, Sweep, plan
from dermtune.recipes import laptop
from dermtune.tracking import Exporter
from dermtune.tuner.cluster import connected
from tests.tracking_server import free_port, silent_server

N_SEEDS = 2
"""Trials of one way in one repeat."""
WITHOUT = "no tracking"


def main() -> None:
    """Print each way's seconds a trial, the driver's CPU seconds, and the ratio to no tracking with its spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    asked = parser.parse_args()
    logging.getLogger("dermtune.tracking").setLevel(logging.ERROR)  # that MLflow is away is what is measured
    measured: dict[str, Way] = {}
    with tempfile.TemporaryDirectory() as folder, silent_server() as silent, connected(None):
        place = Place(data_dir=Path(folder) / "data", cache_dir=Path(folder) / "cache")
        the_plan = planned(place, asked.epochs)
        train(the_plan, SweepFolder(Path(folder) / "warm"), place, None)  # imports and caches
        ways = {
            WITHOUT: None,
            "SQLite": f"sqlite:///{folder}/mlflow.db",
            "refused": f"http://127.0.0.1:{free_port()}",
            "silent": silent,
        }
        for repeat in range(asked.repeats):
            names = list(ways)
            for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
                there = SweepFolder(Path(folder) / f"{name}-{repeat}")
                spent = train(the_plan, there, place, ways[name])
                done = there.done(the_plan.trials)
                measured.setdefault(name, Way()).add(spent, [done[t.trial_id]["seconds"] for t in the_plan.trials])
    for name in ways:
        print_row(name, measured[name], measured[WITHOUT])


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one repeat of one way took of the driver."""

    cpu: float
    """CPU seconds of this process."""
    held_up: float
    """Seconds for which the exporter kept the driver waiting that tells it what happens."""


@dataclass(frozen=True, slots=True)
class Way:
    """What one way took in all its repeats."""

    seconds: list[float] = field(default_factory=list)
    """Of each trial."""
    cpu: list[float] = field(default_factory=list)
    """Of the driver, a trial, in each repeat."""
    held_up: list[float] = field(default_factory=list)
    """The same."""

    def add(self, spent: Spent, seconds: list[float]) -> None:
        """One repeat more."""
        self.seconds.extend(seconds)
        self.cpu.append(spent.cpu / len(seconds))
        self.held_up.append(spent.held_up / len(seconds))


class Timed:
    """A monitor, with the seconds for which it keeps waiting whoever tells it."""

    def __init__(self, monitor: Exporter) -> None:
        self._monitor = monitor
        self.seconds = 0.0

    def __getattr__(self, event: str) -> Callable[..., None]:
        def told(*what: object) -> None:
            started = time.perf_counter()
            getattr(self._monitor, event)(*what)
            self.seconds += time.perf_counter() - started

        return told


def planned(place: Place, epochs: int) -> Plan:
    """One arm of the laptop recipe with `N_SEEDS` seeds."""
    config = laptop().config
    config = replace(config, training=replace(config.training, epochs=epochs))
    sweep = Sweep(name="outage", grid={"focal_gamma": (0.0,)}, baseline={"focal_gamma": 0.0}, seeds=range(N_SEEDS))
    found = fingerprints(config, open_dataset(config.data, place))
    return plan(sweep, config, recipe="laptop", fingerprints=found)


def train(the_plan: Plan, folder: SweepFolder, place: Place, uri: str | None) -> Spent:
    """What it took of the driver, after every trial is done."""
    with tracked(the_plan, folder, uri) as monitors:
        started = time.process_time()
        ending = tuner.run(
            the_plan.trials, folder, place, Machines(cpus=os.cpu_count() or 1, gpus=0), monitors=monitors
        )
        cpu = time.process_time() - started
    if ending.exit_code:
        raise SystemExit(ending.exit_code)
    return Spent(cpu=cpu, held_up=sum(monitor.seconds for monitor in monitors))


@contextlib.contextmanager
def tracked(the_plan: Plan, folder: SweepFolder, uri: str | None) -> Iterator[tuple[Timed, ...]]:
    """The exporter at work; without a URI none."""
    if uri is None:
        yield ()
        return
    exporter = Exporter(uri, the_plan, folder, "Does an outage cost training time?")
    exporter.start()
    try:
        yield (Timed(exporter),)
    finally:
        exporter.close(interrupted=True)


def print_row(name: str, way: Way, without: Way) -> None:
    """One way's medians, what it takes at most, and the quartiles of its trials' ratios to no tracking."""
    ratios = [here / there for here, there in zip(way.seconds, without.seconds, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    seconds, cpu, held_up = map(statistics.median, (way.seconds, way.cpu, way.held_up))
    at_most = (max(0.0, cpu - statistics.median(without.cpu)) + held_up) / seconds
    Console(highlight=False).print(
        f"{name:12} {seconds:6.2f} s a trial  driver {cpu:5.3f} CPU s, held up {1000 * held_up:5.1f} ms  "
        f"at most {at_most:.2%}  ratio {middle:.3f} ({low:.3f} to {high:.3f}) over {len(ratios)} pairs",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
