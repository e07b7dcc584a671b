"""A sweep over machines that share a network and an S3 alone: each is a network namespace with its own disk."""

import csv
import json
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.namespaces import Machine, network, ray_head, ray_node, why_not
from tests.tiny_sweep import RECIPE, TinySweep, wait_until

BUCKET = "lab"
PORT = 5000
EPOCHS = 8
KEYS = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "geheim-lab", "AWS_DEFAULT_REGION": "us-east-1"}
SOON = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "4",
}
"""A node that is cut off is given up within seconds, not a minute."""
MAKE_BUCKET = """
import sys, boto3
boto3.client("s3", endpoint_url=sys.argv[1]).create_bucket(Bucket=sys.argv[2])
"""
LIST_BUCKET = """
import sys, boto3
found = boto3.client("s3", endpoint_url=sys.argv[1]).list_objects_v2(Bucket=sys.argv[2]).get("Contents", ())
print(*(one["Key"] for one in found if not one["Key"].endswith("/")), sep="\\n")
"""

reason = why_not()
pytestmark = pytest.mark.skipif(reason is not None, reason=f"no machines of their own: {reason}")


@dataclass(frozen=True, kw_only=True)
class From(TinySweep):
    """A sweep whose driver runs on that machine."""

    machine: Machine

    def command(self, *more):
        return self.machine.inside(*super().command(*more))


@pytest.fixture(scope="module")
def recipe():
    return RECIPE.replace("epochs=4", f"epochs={EPOCHS}")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, shared, recipe):
    """Every prediction, made on this machine alone."""
    sweep = TinySweep.written(tmp_path_factory.mktemp("undisturbed"), shared, recipe=recipe)
    done = sweep.run()
    assert done.returncode == 0, done.stdout
    return sweep.logits()


@pytest.fixture
def here():
    """A folder whose path is short enough for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="dt", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def lab(here, shared, recipe):
    """A cluster of machines, the first of which has the S3, the head and the driver, and trains nothing."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with network() as net:
        yield Lab(net, here, shared, recipe, {**KEYS, **SOON, **token})


class Lab:
    """The machines, and what happens to them."""

    def __init__(self, net, here, shared, recipe, environment):
        self.net, self.here, self.environment = net, here, environment
        self.sweep_at = here / "sweep"
        self.hidden = (self.sweep_at / "runs", shared / "cache", here / "ray")
        head = net.add("head", environment=environment)
        self.endpoint = f"http://{head.address}:{PORT}"
        moto = (sys.executable, "-m", "moto.server", "-H", head.address, "-p", str(PORT))
        net.start(head, *moto, log=here / "s3.log")
        self.address = ray_head(net, head, here / "ray", here / "head.log")
        wait_until(lambda: self.on_head(MAKE_BUCKET).returncode == 0, f"S3 ({here}/s3.log)")
        written = TinySweep.written(self.sweep_at, shared, recipe=recipe)
        self.sweep = From(
            here=written.here, shared=shared, environment=environment, machine=replace(head, hidden=())
        )

    def join(self, name):
        """A machine that sees neither the driver's folder nor its cache, with one core for trials."""
        machine = self.net.add(name, hidden=self.hidden, environment=self.environment)
        ray_node(self.net, machine, self.address, self.here / f"{name}.log")
        return machine

    def start(self, *more):
        where = f"s3://{BUCKET}/sweeps?endpoint_override={self.endpoint.removeprefix('http://')}&scheme=http"
        how = ("--address", self.address, "--storage", where, "--wait-for-nodes", "5")
        return self.sweep.start(*how, *more)

    def on_head(self, script):
        command = self.net.machines[0].inside(sys.executable, "-c", script, self.endpoint, BUCKET)
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **self.environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def stored(self):
        """Keys of all that is in the S3."""
        return self.on_head(LIST_BUCKET).stdout.split()

    def epochs(self):
        """Rows of the history of each trial that is not done, by trial_id, as the driver's folder has them."""
        found = {}
        for path in self.sweep.folder.glob("trials/*/history.csv"):
            if not (path.parent / "manifest.json").exists():
                found[path.parent.name] = len(list(csv.DictReader(path.read_text().splitlines())))
        return found

    def attempts(self, trial_id):
        return json.loads((self.sweep.folder / "trials" / trial_id / "attempts.json").read_text())["attempts"]


def run_with_a_node_cut_off(lab, *more, later=("late",)):
    """What the driver said, after the first node was cut off in its first trial and others joined."""
    early = lab.join("early")
    driver = lab.start(*more)
    wait_until(lambda: driver.poll() is not None or max(lab.epochs().values(), default=0) >= 2, "an epoch", 300)
    lab.net.signal(early, signal.SIGSTOP)  # else its trial may end before its plug is pulled
    [hit] = lab.epochs()
    for name in later:
        lab.join(name)
    lab.net.cut_off(early)
    lab.net.signal(early, signal.SIGCONT)
    said, _ = driver.communicate(timeout=900)
    assert driver.returncode == 0, said
    return said, hit


@pytest.mark.timeout(1500)
def test_machines_that_share_an_s3_alone_train_to_the_same_bits_though_one_joins_late_and_one_is_cut_off(
    lab, undisturbed
):
    said, hit = run_with_a_node_cut_off(lab, "--seeds", "1")
    logits = lab.sweep.logits()
    assert logits == {key: rows for key, rows in undisturbed.items() if key[1] == 0}
    assert {manifest["host"] for manifest in lab.sweep.trials().values()} == {"late"}
    assert "lost its worker and goes on from its last checkpoint" in said
    first, *between, last = lab.attempts(hit)
    assert (first["ended"], between, last["ended"]) == ("interrupted", [], "done"), said
    assert first["kept_seconds"] > 0
    assert lab.stored() == []


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_every_trial_of_a_sweep_ends_with_the_same_bits_on_nodes_of_which_one_is_cut_off_and_two_join_late(
    lab, undisturbed
):
    run_with_a_node_cut_off(lab, later=("late", "later"))
    assert lab.sweep.logits() == undisturbed
    assert {manifest["host"] for manifest in lab.sweep.trials().values()} == {"late", "later"}
    assert lab.stored() == []
