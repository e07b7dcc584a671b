"""What a tracking server that is away costs the training: seconds a trial beside those without any tracking.

Run:      python -m tests.benchmarks.tracking_outage [--repeats N] [--epochs N]
Measures: `seconds` of each trial's manifest, and CPU seconds of the driver beside the trials, of the laptop recipe
          through the tuner with one trial at a time: without an exporter, with SQLite, with a server that refuses
          every connection, and with one that accepts every connection and answers none.
Compares: each way's trial with the one without tracking of the same repeat and seed; the ways take turns, each
          repeat in another order, so that what else the machine does falls on all alike.
"""

import argparse
import contextlib
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dermtune import tuner
from dermtune.data.dataset import open_dataset
from dermtune.data.place import Place
from dermtune.execution import fingerprints
from dermtune.ledger import SweepFolder
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
    seconds: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
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
                cpu.setdefault(name, []).append(train(the_plan, there, place, ways[name]))
                done = there.done(the_plan.trials)
                seconds.setdefault(name, []).extend(done[t.trial_id]["seconds"] for t in the_plan.trials)
    for name in ways:
        print_row(name, seconds[name], cpu[name], seconds[WITHOUT])


def planned(place: Place, epochs: int) -> Plan:
    """One arm of the laptop recipe with `N_SEEDS` seeds."""
    config = laptop().config
    config = replace(config, training=replace(config.training, epochs=epochs))
    sweep = Sweep(name="outage", grid={"focal_gamma": (0.0,)}, baseline={"focal_gamma": 0.0}, seeds=range(N_SEEDS))
    found = fingerprints(config, open_dataset(config.data, place))
    return plan(sweep, config, recipe="laptop", fingerprints=found)


def train(the_plan: Plan, folder: SweepFolder, place: Place, uri: str | None) -> float:
    """CPU seconds of this process, after every trial is done."""
    with tracked(the_plan, folder, uri) as monitors:
        started = time.process_time()
        ending = tuner.run(the_plan.trials, folder, place, cpus=os.cpu_count() or 1, gpus=0, monitors=monitors)
        spent = time.process_time() - started
    if ending.exit_code:
        raise SystemExit(ending.exit_code)
    return spent


@contextlib.contextmanager
def tracked(the_plan: Plan, folder: SweepFolder, uri: str | None) -> Iterator[tuple[Exporter, ...]]:
    """The exporter at work; without a URI none."""
    if uri is None:
        yield ()
        return
    exporter = Exporter(uri, the_plan, folder, "Does an outage cost training time?")
    exporter.start()
    try:
        yield (exporter,)
    finally:
        exporter.close(interrupted=True)


def print_row(name: str, seconds: list[float], cpu: list[float], without: list[float]) -> None:
    """One way's medians, and its ratios trial by trial to no tracking: median and quartiles."""
    ratios = [here / there for here, there in zip(seconds, without, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    Console(highlight=False).print(
        f"{name:12} {statistics.median(seconds):7.2f} s a trial  driver {statistics.median(cpu):6.2f} CPU s  "
        f"ratio {middle:.4f} ({low:.4f} to {high:.4f}) over {len(ratios)} pairs",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
