"""What a sweep starts is for this user on this machine."""

import contextlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.tiny_sweep import RECIPE, TinySweep, wait_until


@pytest.fixture(scope="module")
def under_way(tmp_path_factory, short):
    """A sweep that trains for as long as it is looked at, and its processes."""
    here = tmp_path_factory.mktemp("listening")
    environment = {"HOME": str(here / "home"), "TMPDIR": str(short), "RAY_TMPDIR": str(short)}
    (here / "home").mkdir()
    sweep = TinySweep.written(here / "here", here / "shared", recipe=RECIPE.replace("epochs=4", "epochs=100000"))
    sweep = replace(sweep, environment=environment)
    driver = sweep.start()
    try:
        wait_until(
            lambda: list(sweep.folder.glob("trials/*/history.csv")) or driver.poll() is not None, "an epoch", 500
        )
        assert driver.poll() is None, driver.stdout.read()
        yield sweep, psutil.Process(driver.pid)
    finally:
        for process in reversed(tree(psutil.Process(driver.pid)) if driver.poll() is None else []):
            with contextlib.suppress(psutil.NoSuchProcess):  # it went with another of them
                process.kill()
        driver.communicate()


def tree(driver):
    return [driver, *driver.children(recursive=True)]


def connections(driver):
    """Every internet socket of the driver and of all that it started, with the name of the process's program."""
    for process in tree(driver):
        for socket in process.net_connections("inet"):
            yield program(process), socket


def program(process):
    """The name of its file, wherever that lies; a worker of Ray's has its title here."""
    return Path((process.cmdline() or [""])[0]).name


def is_loopback(ip):
    return ip.removeprefix("::ffff:").startswith("127.") or ip == "::1"


def test_everything_that_a_sweep_starts_listens_on_loopback_alone(under_way):
    _, driver = under_way
    listening = [(name, s.laddr) for name, s in connections(driver) if s.status == psutil.CONN_LISTEN]
    assert {"gcs_server", "raylet"} <= {name for name, _ in listening}
    assert len(listening) >= 5
    assert [(name, address) for name, address in listening if not is_loopback(address.ip)] == []
    assert 8265 not in [address.port for _, address in listening], "Ray's dashboard"


def test_nothing_that_a_sweep_starts_talks_to_another_machine(under_way):
    _, driver = under_way
    remote = [(name, s.raddr) for name, s in connections(driver) if s.raddr and not is_loopback(s.raddr.ip)]
    assert remote == []


def is_rays_own(process):
    """Whether it is one of the two from which all others of Ray come; a worker's title overwrites its environ."""
    return program(process) in ("gcs_server", "raylet")


def test_usage_statistics_and_telemetry_are_off_in_what_ray_starts_from(under_way):
    _, driver = under_way
    started = [process.environ() for process in driver.children(recursive=True) if is_rays_own(process)]
    assert len(started) == 2
    assert {environment.get("RAY_USAGE_STATS_ENABLED") for environment in started} == {"0"}
    assert {environment.get("MLFLOW_DISABLE_TELEMETRY") for environment in started} == {"true"}


CLIENT = """
import logging, sys, ray
ray.init(address=sys.argv[1], logging_level=logging.CRITICAL)
print("let in, it sees", len(ray.nodes()), "node")
"""


def client(address, **environment):
    """What becomes of another process that tries to connect to the sweep's Ray."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    kept["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # else Ray looks for 127.0.0.1 at this machine's other address
    command = [sys.executable, "-c", CLIENT, address]
    return subprocess.Popen(
        command, env={**kept, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_another_client_is_let_in_with_the_token_and_refused_without(under_way, tmp_path):
    sweep, driver = under_way
    commands = [" ".join(process.cmdline()) for process in driver.children(recursive=True)]
    (address,) = set(re.findall(r"--gcs-address=(\S+)", " ".join(commands)))
    home = sweep.environment["HOME"]
    clients = {
        "token": client(address, HOME=home, RAY_AUTH_MODE="token"),
        "none": client(address, HOME=str(tmp_path), RAY_AUTH_MODE="disabled"),
        "wrong": client(address, HOME=str(tmp_path), RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="f" * 64),
    }
    said = {name: process.communicate(timeout=300)[0] for name, process in clients.items()}
    assert "let in, it sees 1 node" in said["token"]
    for name in ("none", "wrong"):
        assert "let in" not in said[name]
        assert "token is missing or incorrect" in said[name]


def test_the_token_is_for_this_users_eyes_alone(under_way):
    sweep, _ = under_way
    token = Path(sweep.environment["HOME"]) / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o077 == 0
