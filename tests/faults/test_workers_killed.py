"""Workers, their memory and their nodes go away under real training: nothing is lost but an epoch at most."""

import contextlib
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import ray

from dermtune import tuner
from dermtune.ending import Ending
from dermtune.execution import execute
from dermtune.ledger import SweepFolder
from dermtune.monitors import Monitor
from dermtune.tuner.events import CRASHES
from tests.clusters import two_nodes
from tests.monitors import Heard
from tests.tiny_sweep import wait_until

EPOCHS = 6
MEMORY = Path("/sys/fs/cgroup/memory")


@pytest.fixture(scope="module")
def trials(make_trial):
    return [make_trial("resnet", seed=seed, epochs=EPOCHS) for seed in range(4)]


@pytest.fixture(scope="module")
def undisturbed(trials, drawn, tmp_path_factory):
    """Every prediction of each trial, trained here, one after the other."""
    folder = SweepFolder(tmp_path_factory.mktemp("undisturbed"))
    for trial in trials:
        files = folder.trial(trial.trial_id)
        execute(trial, drawn.place, files, threads=1, gpus=0, on_epoch=lambda row: None, on_notice=print)
    return predictions(folder, trials)


def predictions(folder, trials):
    files = [folder.trial(trial.trial_id).predictions(split) for trial in trials for split in ("val", "test")]
    return [pq.read_table(file).to_pylist() for file in files]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Real training, with a line a begun and a trained epoch; `mishap` is met after each."""

    diary: Path
    mishap: object = None

    def __call__(self, trial, place, folder, *, on_epoch, **options):
        self.add("began", trial, 0)

        def noting(row):
            self.add("epoch", trial, row["epoch"])
            on_epoch(row)
            if self.mishap is not None:
                self.mishap(self, trial, row["epoch"])

        return execute(trial, place, folder, on_epoch=noting, **options)

    def add(self, what, trial, epoch):
        with self.diary.open("a") as file:
            file.write(json.dumps([what, trial.seed, epoch, os.getpid()]) + "\n")

    def notes(self, what):
        if not self.diary.exists():
            return []
        return [note for note in map(json.loads, self.diary.read_text().splitlines()) if note[0] == what]

    def attempts(self, trial):
        return sum(seed == trial.seed for _, seed, *_ in self.notes("began"))

    def epochs(self, trial):
        return [epoch for _, seed, epoch, _ in self.notes("epoch") if seed == trial.seed]


class Killer(Monitor):
    """Does away with something once the trial has ended its second epoch."""

    def __init__(self, trial, do_away):
        self.trial, self.do_away, self.done = trial, do_away, False

    def epoch(self, trial, row):
        if trial == self.trial and row["epoch"] == 2 and not self.done:
            self.done = True
            self.do_away()

    started = noticed = finished = failed = lambda self, *_: None


def wait_to_be_killed(noted, trial, epoch):
    """The second trial's first attempt trains no further than its second epoch."""
    if (trial.seed, epoch, noted.attempts(trial)) == (1, 2, 1):
        time.sleep(600)


def test_kill_9_of_a_worker_costs_at_most_an_epoch_and_no_other_trial_anything(
    trials, drawn, undisturbed, tmp_path
):
    folder = SweepFolder(tmp_path / "sweep")
    noted = Noted(diary=tmp_path / "diary", mishap=wait_to_be_killed)

    def kill_worker():
        [pid] = {pid for _, seed, _, pid in noted.notes("began") if seed == trials[1].seed}
        os.kill(pid, signal.SIGKILL)

    heard = Heard()
    killer = Killer(trials[1], kill_worker)
    ending = tuner.run(trials, folder, drawn.place, monitors=[killer, heard], execute=noted)
    assert (ending, killer.done) == (Ending(finished=4), True)
    assert [noted.attempts(trial) for trial in trials] == [1, 2, 1, 1]
    assert len(noted.epochs(trials[1])) in (EPOCHS, EPOCHS + 1)
    assert predictions(folder, trials) == undisturbed


@pytest.fixture
def cluster():
    with two_nodes() as cluster:
        yield cluster


def stay(node, noted, trial, epoch):
    """A trial on that node trains no further than its second epoch."""
    if epoch == 2 and ray.get_runtime_context().get_node_id() == node:
        noted.add("stays", trial, epoch)
        time.sleep(600)


def test_a_node_that_goes_away_takes_no_trial_with_it(trials, drawn, undisturbed, tmp_path, cluster):
    node = cluster.list_all_nodes()[1]
    folder = SweepFolder(tmp_path / "sweep")
    noted = Noted(diary=tmp_path / "diary", mishap=partial(stay, node.node_id))

    def kill_node():
        wait_until(lambda: noted.notes("stays"), "a trial on the node", 400)
        cluster.remove_node(node, allow_graceful=False)

    with ThreadPoolExecutor(1) as aside:
        killed = aside.submit(kill_node)
        ending = tuner.run(trials, folder, drawn.place, address=cluster.address, execute=noted)
        killed.result()
    assert ending == Ending(finished=4)
    [hit] = [seed for _, seed, *_ in noted.notes("stays")]
    assert [noted.attempts(trial) for trial in trials] == [1 + (trial.seed == hit) for trial in trials]
    assert predictions(folder, trials) == undisturbed


# Out of memory.


def want_all(noted, trial, epoch):
    if trial.seed == 1:
        raise MemoryError("Unable to allocate 74.5 GiB for an array")


def want_all_once(noted, trial, epoch):
    if trial.seed == 1 and epoch == 2 and noted.attempts(trial) == 1:
        import torch

        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_a_trial_for_which_there_is_no_memory_is_tried_again_a_few_times_then_fails_alone(trials, drawn, tmp_path):
    folder, noted = SweepFolder(tmp_path / "sweep"), Noted(diary=tmp_path / "diary", mishap=want_all)
    heard = Heard()
    ending = tuner.run(trials[:3], folder, drawn.place, monitors=[heard], execute=noted)
    assert ending == Ending(finished=2, failed=1)
    reason = folder.trial(trials[1].trial_id).failure()
    assert reason.startswith(
        "out of memory 3 times (Unable to allocate 74.5 GiB for an array): a smaller batch_size"
    )
    said = (folder.trial(trials[1].trial_id).path / "failure.json").read_text()
    assert 1 < noted.attempts(trials[1]) <= 1 + CRASHES, said  # a death before it began is one of the three
    assert heard.reasons[trials[1].title] == reason


def test_a_gpu_that_others_fill_for_a_while_costs_no_more_than_an_epoch(trials, drawn, undisturbed, tmp_path):
    folder, noted = SweepFolder(tmp_path / "sweep"), Noted(diary=tmp_path / "diary", mishap=want_all_once)
    assert tuner.run(trials, folder, drawn.place, execute=noted) == Ending(finished=4)
    assert noted.epochs(trials[1]) == list(range(1, EPOCHS + 1))
    assert predictions(folder, trials) == undisturbed


@pytest.fixture
def narrow():
    """A memory limit of 64 MB beyond what a process brings, for those that are put under it."""
    group = MEMORY / f"dermtune-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(64 * 2**20))
    except OSError as error:
        pytest.skip(f"needs the right to make a cgroup v1 memory limit: {error}")
    yield group / "cgroup.procs"
    for pid in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(int(pid)).wait(timeout=10)
    group.rmdir()


def eat(procs, noted, trial, epoch):
    """Goes under the limit and takes what is there, as a batch does that is too large."""
    if trial.seed == 1:
        procs.write_text(str(os.getpid()))
        eaten = []
        while True:
            eaten.append(bytearray(os.urandom(2**20)))
            time.sleep(0.001)


def test_a_trial_that_the_kernel_kills_for_its_memory_fails_after_a_few_attempts_and_the_others_go_on(
    trials, drawn, tmp_path, narrow
):
    folder = SweepFolder(tmp_path / "sweep")
    noted = Noted(diary=tmp_path / "diary", mishap=partial(eat, narrow))
    ending = tuner.run(trials[:3], folder, drawn.place, execute=noted)
    assert ending == Ending(finished=2, failed=1)
    assert 1 <= noted.attempts(trials[1]) <= 1 + CRASHES
    reason = folder.trial(trials[1].trial_id).failure()
    assert reason.startswith("its worker died 3 times; out of memory is the usual cause: a smaller batch_size")
