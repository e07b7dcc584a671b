"""A sweep's driver as a process of its own: a signal ends it in order, Ray says nothing and goes with it."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dermtune import tuner
from dermtune.ending import Ending
from dermtune.ledger import SweepFolder
from dermtune.machines import Machines
from tests import tuner_workers as workers
from tests.plans import planned
from tests.tuner_workers import PLACE, Diary, Fake

ROOT = Path(__file__).parents[1]
LONG_EPOCH = 600.0


class Driver:
    """A process that runs a planned sweep with fake workers."""

    def __init__(self, tmp_path, *, n_arms=2, n_seeds=2, **how):
        self.plan = planned(n_arms=n_arms, n_seeds=n_seeds)
        self.folder, self.diary = SweepFolder(tmp_path / "sweep"), Diary(tmp_path / "diary")
        arguments = tmp_path / "arguments"
        arguments.write_bytes(pickle.dumps((self.plan.trials, self.folder, Fake(diary=self.diary, **how))))
        code = f"from tests.tuner_workers import drive; drive({str(arguments)!r})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started = []

    def wait_for(self, what, n, seconds=300):
        """Wait until the diary has `n` notes, then remember all processes."""
        deadline = time.monotonic() + seconds
        while len(self.diary.notes(what)) < n:
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < deadline, f"{what} was not noted {n} times within {seconds} s"
            time.sleep(0.05)
        self.started = psutil.Process(self.process.pid).children(recursive=True)

    def end(self, seconds):
        """Its ending, what it said, and the processes that outlived it."""
        out, said = self.process.communicate(timeout=seconds)
        _, alive = psutil.wait_procs(self.started, timeout=30)
        return Ending(**json.loads(out)), said, alive


@pytest.fixture
def driver(tmp_path):
    drivers = []

    def start(**how):
        drivers.append(Driver(tmp_path, **how))
        return drivers[-1]

    yield start
    for driver in drivers:
        if driver.process.poll() is None:
            os.killpg(driver.process.pid, signal.SIGKILL)
            driver.process.communicate()


@pytest.mark.slow
def test_ctrl_c_ends_a_sweep_in_order_and_each_trial_under_way_keeps_its_checkpoint(driver):
    stopped = driver(seconds=0.5, epochs=20, company=2)
    stopped.wait_for("epoch", 4)
    os.killpg(stopped.process.pid, signal.SIGINT)  # as a terminal does it: to the driver and all that it started
    ending, said, alive = stopped.end(seconds=60)
    assert (ending, said, alive) == (Ending(signal=signal.SIGINT), "", [])
    under_way = [stopped.folder.trial(trial.trial_id) for trial in stopped.plan.trials[:2]]
    assert all(workers.epochs_kept(folder) >= 1 for folder in under_way)
    assert all(folder.failure() is None for folder in under_way)


def test_sigterm_ends_a_sweep_in_a_few_seconds_though_its_epochs_take_minutes(driver):
    stopped = driver(seconds=LONG_EPOCH, company=2)
    stopped.wait_for("began", 2)
    stopped.process.send_signal(signal.SIGTERM)
    ending, said, alive = stopped.end(seconds=60)
    assert (ending.signal, said, alive) == (signal.SIGTERM, "", [])
    assert [path.name for path in stopped.folder.path.iterdir()] == ["trials"]


def test_sigterm_to_the_whole_process_group_ends_in_order_too(driver):
    stopped = driver(seconds=0.5, epochs=20, company=2)
    stopped.wait_for("epoch", 4)
    os.killpg(stopped.process.pid, signal.SIGTERM)  # as `timeout` and some schedulers do it
    ending, said, alive = stopped.end(seconds=60)
    assert (ending, said, alive) == (Ending(signal=signal.SIGTERM), "", [])
    assert all(workers.epochs_kept(stopped.folder.trial(trial.trial_id)) >= 1 for trial in stopped.plan.trials[:2])


def test_ray_says_nothing_of_a_dead_worker_and_leaves_no_process(driver):
    title = planned().trials[0].title
    ended = driver(mishaps={title: workers.die_once, planned().trials[1].title: workers.refuse})
    ended.wait_for("began", 2)
    ending, said, alive = ended.end(seconds=300)
    assert ending == Ending(finished=3, failed=1)
    assert said == ""
    assert alive == []
    assert [path.name for path in ended.folder.path.iterdir()] == ["trials"]


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:9"])
def test_an_address_without_a_cluster_is_refused_at_once_in_one_line(tmp_path, address):
    with pytest.raises(tuner.TunerError, match=f"and RAY_AUTH_TOKEN its token, got '{address}'") as refusal:
        tuner.run(planned().trials, SweepFolder(tmp_path), PLACE, Machines(address=address))
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []
