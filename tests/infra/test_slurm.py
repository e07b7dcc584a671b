"""`sweep.sbatch` on a real SLURM of two nodes, with stand-ins for Ray and the sweep."""

import pytest

from tests.infra.slurm_site import SlurmSite, missing, two_slurm_nodes
from tests.infra.stand_ins import make_stand_ins
from tests.tiny_sweep import ROOT, wait_until

SCRIPT = ROOT / "infra" / "slurm" / "sweep.sbatch"

pytestmark = [
    pytest.mark.skipif((why := missing()) is not None, reason=f"no SLURM can be had here: {why}"),
    pytest.mark.usefixtures("no_signal_ignored"),
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
    """Whether it waits for its next start, which is then brought forward.

    SLURM waits two minutes, for its nodes to end the start before.
    """
    if state(site, job) != ("PENDING", "0:0", "1") or not site.is_idle():
        return False
    site.run("scontrol", "update", f"jobid={job}", "starttime=now")
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


def test_a_job_that_is_stopped_for_good_ends_in_order_and_does_not_queue_again(site, stand_in):
    job = stand_in(0)
    site.run("scancel", "--batch", "--signal=TERM", job)
    wait_until(lambda: state(site, job) == ("FAILED", "143:0", "0"), "the job's end")
