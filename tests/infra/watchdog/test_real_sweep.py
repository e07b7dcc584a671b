"""A sweep of dermtune's own on the rented machine, watched through the door."""

import pytest

from dermtune import verify
from dermtune.durable import read_json
from infra.watchdog.__main__ import main
from tests.infra.watchdog.conftest import PYTHON
from tests.infra.watchdog.rented import SSH
from tests.tiny_sweep import TinySweep, wait_until


@pytest.mark.slow
def test_a_sweep_that_a_limit_cuts_off_goes_on_from_what_was_pulled_to_the_same_predictions(tmp_path, runpod):
    """The reduced form is in test_watching: a driver that is its lock, and trials that are their files."""
    shared = tmp_path / "shared"
    calm = TinySweep.written(tmp_path / "calm", shared)
    assert calm.run("--seeds", "3", seconds=900).returncode == 0
    rented = TinySweep.written(tmp_path / "machine", shared)
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    pulled = tmp_path / "home" / "runs" / rented.folder.name
    runpod.rent("abc", hours=10)

    def before(_):
        if (pulled / "sweep.json").exists() and runpod.pods:
            runpod.pods["abc"]["costPerHr"] = 1000  # the cap is over now, whatever the time

    runpod.before = before
    with (tmp_path / "log").open("w") as log:
        sweep = rented.start("--seeds", "3", stdout=log)
    wait_until(lambda: len(rented.trials()) > 0, "the first done trial")
    code = main(
        [
            "run", "abc", "--remote", str(rented.folder), "--into", str(pulled.parent), "--host", "root@machine",
            "--ssh", str(ssh), "--remote-python", PYTHON, "--poll-seconds", "0.2", "--deadline-hours", "20",
            "--max-usd", "30", "--state", str(tmp_path / "state"), "--api-url", runpod.url,
        ]
    )  # fmt: skip
    report = read_json(tmp_path / "state" / "abc" / "report.json")
    assert (code, report["ended_by"], report["forced_by"], report["safe"]) == (1, "cap", None, True)
    assert sweep.wait(timeout=60) == 143
    assert runpod.pods == {}
    home = TinySweep.written(tmp_path / "home", shared)
    n_saved = len(home.trials())
    assert 1 <= n_saved < 6
    assert home.run("--seeds", "3", seconds=900).returncode == 0
    assert home.logits() == calm.logits()
    assert verify.main([str(home.folder)]) == 0
