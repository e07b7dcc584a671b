"""`sweep.sbatch` on a real SLURM of two nodes: with stand-ins for Ray and sweep, then with a real Ray and sweep."""

import sys
import time
from pathlib import Path

import pytest

from dermtune import verify
from tests.infra.slurm_site import SlurmSite, missing, two_slurm_nodes
from tests.infra.stand_ins import make_stand_ins
from tests.tiny_sweep import QUESTION, RECIPE, ROOT, TinySweep, wait_until

SCRIPT = ROOT / "infra" / "slurm" / "sweep.sbatch"
SIX_TRIALS = QUESTION.replace("seeds=range(2)", "seeds=range(3)")
LONGER = RECIPE.replace("epochs=4", "epochs=40")
ENDLESS = RECIPE.replace("epochs=4", "epochs=4000")
PATIENCE = 500.0
"""Seconds: two Rays come up on two cores, which others may use."""

pytestmark = [
    pytest.mark.skipif((why := missing()) is not None, reason=f"no SLURM can be had here: {why}"),
    pytest.mark.usefixtures("no_signal_ignored"),
    pytest.mark.timeout(3 * PATIENCE),
]


@pytest.fixture(scope="module")
def site():
    with two_slurm_nodes() as site:
        yield site


def state(site: SlurmSite, job: str) -> tuple[str, str, str]:
    """What it is at, its exit code and signal, how often it queued up again."""
    said = site.job(job)
    return said["JobState"], said["ExitCode"], said["Restarts"]


def queued_again(site: SlurmSite, job: str) -> bool:
    """Whether it waits for its next start, which is then brought forward: SLURM waits two minutes.

    Not to the very second: nodes launch no start that is as old, by their clock's seconds, as the last one's end.
    """
    if state(site, job) != ("PENDING", "0:0", "1") or not site.is_idle():
        return False
    site.run("scontrol", "update", f"jobid={job}", "starttime=now+3")
    return True


@pytest.fixture
def stand_in(site, tmp_path):
    """Submits the script where Ray and the sweep are stand-ins; what they are asked lies in the folder."""
    venv = make_stand_ins(tmp_path, "ray", "python")

    def submit(code: int) -> str:
        (tmp_path / "code").write_text(str(code))
        (tmp_path / "goes_on").touch()
        job = site.submit(tmp_path, SCRIPT, "question.py", HERE=str(tmp_path), DERMTUNE_VENV=str(venv))
        wait_until((tmp_path / "trains").exists, "the sweep")
        return job

    submit.here = tmp_path
    return submit


def test_slurms_warning_stops_the_sweep_the_job_queues_again_and_its_next_start_ends_it(site, stand_in):
    job = stand_in(0)
    site.run("scancel", "--batch", "--signal=USR1", job)  # as SLURM does before the time is up
    wait_until(lambda: queued_again(site, job), "the job in the queue again")
    (stand_in.here / "goes_on").unlink()
    wait_until(lambda: state(site, job) == ("COMPLETED", "0:0", "1"), "the job's end")
    assert sorted((stand_in.here / "nodes").read_text().split()) == ["n1", "n1", "n2", "n2"]
    wait_until(site.is_idle, "nodes on which nothing is left")


def test_a_sweep_that_fails_gives_the_job_its_code_and_does_not_queue_again(site, stand_in):
    job = stand_in(1)
    (stand_in.here / "goes_on").unlink()
    wait_until(lambda: state(site, job) == ("FAILED", "1:0", "0"), "the job's end")


def test_a_sweep_goes_on_where_ray_dies_on_another_node_than_its_own(site, stand_in):
    (stand_in.here / "other_dies").touch()
    job = stand_in(0)
    wait_until(lambda: len((stand_in.here / "nodes").read_text().split()) == 2, "both nodes")
    time.sleep(8)  # longer than a job waited for the others that one of whose nodes has ended
    assert state(site, job) == ("RUNNING", "0:0", "0")
    (stand_in.here / "goes_on").unlink()
    wait_until(lambda: state(site, job) == ("COMPLETED", "0:0", "0"), "the job's end")


def test_a_job_that_is_stopped_for_good_ends_in_order_and_does_not_queue_again(site, stand_in):
    job = stand_in(0)
    site.run("scancel", "--batch", "--signal=TERM", job)
    wait_until(lambda: state(site, job) == ("FAILED", "143:0", "0"), "the job's end")


class Submitted:
    """A tiny sweep as a job: a whole node for a trial, so that both nodes train.

    Ray gives each of its nodes 15 s to come up and ends it then: on a machine that is kept busy by others, a job of
    which that became is submitted again, twice at most.
    """

    def __init__(self, site: SlurmSite, folder: Path, recipe: str, *options: str) -> None:
        self.site = site
        self.tiny = TinySweep.written(folder / "here", folder / "shared", question=SIX_TRIALS, recipe=recipe)
        self.tries = 0
        self._options = options
        self._submit()

    @property
    def said(self) -> str:
        log = self.tiny.here / f"dermtune-{self.id}.log"
        return log.read_text() if log.exists() else ""

    def trains(self) -> bool:
        self.check()
        return any(self.tiny.folder.glob("trials/*/history.csv"))

    def queued_again(self) -> bool:
        return queued_again(self.site, self.id)

    def completed(self, restarts: int) -> bool:
        self.check()
        return state(self.site, self.id) == ("COMPLETED", "0:0", str(restarts))

    def check(self) -> None:
        """That it has not failed."""
        now = state(self.site, self.id)
        if now == ("FAILED", "1:0", "0") and "the sweep was not started" in self.said and self.tries < 3:
            self._submit()
        else:
            told = "\n".join([str(now), self.said, *self.site.logs()])
            assert now[0] in ("PENDING", "RUNNING", "COMPLETING", "COMPLETED"), told

    def _submit(self) -> None:
        self.tries += 1
        sweep = self.tiny.command("--cpus-per-trial", "2", "--gpus-per-trial", "0")[3:]
        ours = {
            "DERMTUNE_CACHE": str(self.tiny.shared / "cache"),
            "DERMTUNE_VENV": sys.prefix,
            "PYTHONPATH": str(ROOT),
            "RAY_worker_niceness": "0",  # else whatever else this machine does comes first,
            "OMP_WAIT_POLICY": "PASSIVE",  # and threads that wait keep a core from those that work
        }
        self.id = self.site.submit(self.tiny.here, *self._options, SCRIPT, *sweep, **ours)


def check_both_nodes_trained_and_all_is_whole(tiny: TinySweep) -> None:
    trials = tiny.trials().values()
    assert len(trials) == 6
    assert {trial["host"] for trial in trials} == {"n1", "n2"}
    assert verify.main([str(tiny.folder)]) == 0


@pytest.mark.slow
def test_a_sweep_trains_on_both_nodes_of_a_job(site, tmp_path):
    job = Submitted(site, tmp_path, RECIPE)
    wait_until(lambda: job.completed(0), "the job's end", PATIENCE)
    check_both_nodes_trained_and_all_is_whole(job.tiny)
    wait_until(site.is_idle, "nodes on which nothing is left")


@pytest.mark.slow
def test_a_sweep_on_both_nodes_stops_at_the_warning_and_goes_on_at_the_next_start(site, tmp_path):
    job = Submitted(site, tmp_path, LONGER)
    wait_until(job.trains, "the first epoch", PATIENCE)
    site.run("scancel", "--batch", "--signal=USR1", job.id)
    wait_until(job.queued_again, "the job in the queue again", PATIENCE)
    assert "Stopped by SIGUSR1" in job.said
    wait_until(lambda: job.completed(1), "the job's end", PATIENCE)
    check_both_nodes_trained_and_all_is_whole(job.tiny)


@pytest.mark.slow
def test_the_time_limit_itself_sends_the_warning_and_the_next_start_goes_on(site, tmp_path):
    job = Submitted(site, tmp_path, ENDLESS, "--time=4", "--signal=B:USR1@60")
    wait_until(job.queued_again, "the job in the queue again", PATIENCE)
    assert "Stopped by SIGUSR1" in job.said
    before = {path: path.read_text() for path in job.tiny.folder.glob("trials/*/history.csv")}
    assert before

    def goes_on() -> bool:
        return any(path.read_text() != text for path, text in before.items())

    wait_until(goes_on, "more epochs", PATIENCE)
    assert all(path.read_text().startswith(text) for path, text in before.items())  # none is trained again
