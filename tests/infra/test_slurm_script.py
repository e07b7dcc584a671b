"""What `sweep.sbatch` does with signals and exit codes, by stand-ins for SLURM, Ray and the sweep."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.infra.stand_ins import make_stand_ins
from tests.tiny_sweep import wait_until

SCRIPT = Path(__file__).parents[2] / "infra" / "slurm" / "sweep.sbatch"


class Job:
    """The script as SLURM would run it on the first of two nodes."""

    def __init__(self, here: Path) -> None:
        self.here = here
        make_stand_ins(here, "srun", "ray", "python", "scontrol")
        (here / "tmp").mkdir()

    def start(self, *arguments: str, code: int = 0, goes_on: bool = False, **environment: str):
        (self.here / "code").write_text(str(code))
        if goes_on:
            (self.here / "goes_on").touch()
        ours = {
            "HERE": str(self.here),
            "DERMTUNE_VENV": str(self.here / "venv"),
            "TMPDIR": str(self.here / "tmp"),
            "SLURM_JOB_ID": "123456",
            "SLURM_JOB_NUM_NODES": "2",
        }
        return subprocess.Popen(
            ["bash", SCRIPT, *arguments],
            env={**os.environ, **ours, **environment},
            cwd=self.here,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process: "subprocess.Popen[str]") -> tuple[int, str]:
        """Exit code, and what was said."""
        out, err = process.communicate(timeout=60)
        return process.returncode, out + err

    def signalled(self, number: int, **environment: str) -> tuple[int, str]:
        """The same, of a job that is sent a signal while its sweep trains."""
        process = self.start("question.py", goes_on=True, **environment)
        wait_until((self.here / "trains").exists, "the sweep")
        process.send_signal(number)
        return self.end(process)

    def requeued(self) -> bool:
        return (self.here / "scontrol.arguments").exists()


@pytest.fixture
def job(tmp_path, no_signal_ignored):
    return Job(tmp_path)


@pytest.mark.parametrize("code", [0, 1, 2, 137])
def test_the_jobs_exit_code_is_the_sweeps_whatever_srun_says(job, code):
    assert job.end(job.start("question.py", code=code))[0] == code
    assert not job.requeued()


def test_the_sweep_gets_the_arguments_as_they_were_and_the_address_of_ray(job):
    job.end(job.start("my question.py", "--recipe", "a b", HEAD_ADDRESS="10.0.0.7"))
    asked = (job.here / "sweep.arguments").read_text().splitlines()
    assert asked == ["-m", "dermtune.sweep", "my question.py", "--recipe", "a b", "--address", "10.0.0.7:23456"]
    asked = (job.here / "srun.arguments").read_text().splitlines()
    assert asked[asked.index("--address") + 1] == "10.0.0.7:23456"
    assert asked[asked.index("--min-nodes") + 1] == "2"


def test_what_a_killed_start_left_on_the_nodes_is_ended_before_ray_comes_up(job):
    job.end(job.start("question.py"))
    before, after = (job.here / "srun.calls").read_text().splitlines()
    assert before.endswith("ray stop --force")
    assert "ray symmetric-run" in after


def test_every_job_has_a_token_of_its_own_and_writes_it_nowhere(job):
    tokens = set()
    for _ in range(2):
        _, said = job.end(job.start("question.py"))
        environment = dict(
            line.split("=", 1) for line in (job.here / "sweep.environment").read_text().splitlines() if "=" in line
        )
        assert environment["RAY_AUTH_MODE"] == "token"
        assert len(bytes.fromhex(environment["RAY_AUTH_TOKEN"])) == 32
        assert environment["RAY_AUTH_TOKEN"] not in said + (job.here / "srun.arguments").read_text()
        assert float(environment["RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT"]) > 30
        tokens.add(environment["RAY_AUTH_TOKEN"])
    assert len(tokens) == 2
    assert not list((job.here / "tmp").iterdir())


def test_slurms_warning_reaches_the_sweep_which_stops_and_the_job_queues_up_again(job):
    code, said = job.signalled(signal.SIGUSR1)
    assert code == 138
    assert (job.here / "scontrol.arguments").read_text() == "requeue 123456\n"
    assert "queues up again" in said


def test_a_job_that_queued_up_too_often_says_how_to_go_on_and_ends(job):
    code, said = job.signalled(signal.SIGUSR1, SLURM_RESTART_COUNT="20")
    assert code == 138
    assert not job.requeued()
    assert "give the same command again" in said


def test_a_job_that_is_stopped_for_good_does_not_queue_up_again(job):
    code, _ = job.signalled(signal.SIGTERM)
    assert code == 143
    assert not job.requeued()


def test_a_sweep_that_ends_by_itself_as_the_warning_comes_is_not_run_again(job):
    (job.here / "is_at_its_end").touch()
    process = job.start("question.py", goes_on=True)
    wait_until((job.here / "trains").exists, "the sweep")
    process.send_signal(signal.SIGUSR1)
    (job.here / "goes_on").unlink()
    assert job.end(process)[0] == 0
    assert not job.requeued()


def test_where_ray_does_not_come_up_the_job_fails_though_symmetric_run_ends_with_0(job):
    (job.here / "ray_fails").touch()
    code, said = job.end(job.start("question.py"))
    assert code == 1
    assert "Ray did not come up on 2 nodes" in said


def test_where_the_sweep_is_killed_with_the_shell_that_runs_it_the_job_does_not_say_that_it_never_began(job):
    (job.here / "is_killed").touch()
    code, said = job.end(job.start("question.py"))
    assert code == 1
    assert "the sweep was killed" in said
    assert "Ray did not come up" not in said


def test_without_a_sweep_it_says_how_it_is_called_and_takes_no_node(job):
    code, said = job.end(job.start())
    assert code == 2
    assert "name a sweep" in said
    assert not (job.here / "srun.arguments").exists()
