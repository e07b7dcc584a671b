"""A fake provider, a machine of its, and a watch in a time of its own."""

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from infra.watchdog import arguments
from infra.watchdog.adopting import adopt
from infra.watchdog.arguments import Common
from infra.watchdog.guarding import Post, guard
from infra.watchdog.journal import Charge, Journal, Place
from infra.watchdog.limits import Limits, Rent
from infra.watchdog.report import Report
from infra.watchdog.runpod import KEY, Patience, RunPod
from infra.watchdog.state import State
from infra.watchdog.view import View
from tests.infra.watchdog import fake_runpod
from tests.infra.watchdog.fake_runpod import FakeRunPod
from tests.infra.watchdog.rented import Rented, wait_until

ROOT = Path(__file__).parents[3]
HOUR = 3600.0
GET, LIST, DELETE = "GET /pods/abc", "GET /pods", "DELETE /pods/abc"
SELDOM = {"idle": 20 * HOUR, "pull": 4 * HOUR, "poll": 2 * HOUR}
"""A watch to a limit ten hours away, in a few looks."""
PYTHON = f"{sys.executable} -I -S"
"""As quick as can be: a machine is looked at again and again."""
LIMITS = Limits(
    deadline=10 * HOUR, max_usd=None, idle=0.5 * HOUR, grace=600, poll=30, pull=300, answer=20, give_up=900
)
PATIENCE = Patience(timeout=20, retries=1, pause=0.01)


@pytest.fixture(autouse=True)
def needs_rsync():
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not on this machine: apt-get install rsync")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv(KEY, fake_runpod.KEY)
    monkeypatch.delenv("RUNPOD_POD_ID", raising=False)


@pytest.fixture
def runpod():
    with fake_runpod.serving() as fake:
        yield fake


@pytest.fixture
def rented(tmp_path):
    return Rented(here=tmp_path).begin()


@dataclass(kw_only=True)
class Watch:
    """A watch whose time is that of its own waiting: half an hour passes in a moment."""

    runpod: FakeRunPod
    rented: Rented
    limits: Limits = LIMITS
    now: float = field(default_factory=time.time)
    rsync: str = "rsync"
    usd_per_hour: float | None = None
    patience: Patience = PATIENCE
    begun: bool = True
    """Whether a sweep was seen to run before."""
    json: Path | None = None
    each_wait: Callable[[float], Any] = lambda _: None
    """Called with the hours that have passed, whenever some have."""
    said: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.began = self.now

    @property
    def journal(self) -> Journal:
        return Journal(self.rented.here / "state")

    @property
    def text(self) -> str:
        return self.said.getvalue()

    def sleep(self, seconds: float) -> None:
        assert seconds > 0, "a watch must not spin"
        self.now += seconds
        self.each_wait((self.now - self.began) / HOUR)

    def post(self) -> Post:
        provider = RunPod(fake_runpod.KEY, url=self.runpod.url, patience=self.patience)
        common = Common(api_url=self.runpod.url, state=self.rented.here / "state", prefix="dermtune", answer=20)
        console = Console(file=self.said, width=200)
        return Post(
            provider=provider,
            journal=self.journal,
            common=common,
            console=console,
            clock=lambda: self.now,
            sleep=self.sleep,
            json=self.json,
        )

    def charge(self) -> Charge:
        rented = self.rented
        place = Place(
            remote=str(rented.folder),
            into=str(rented.into),
            host="root@machine",
            port=None,
            ssh=str(rented.ssh),
            rsync=self.rsync,
            python=PYTHON,
            usd_per_hour=self.usd_per_hour,
        )
        state = State(rent=Rent(since=self.now, usd_per_hour=2.0), active=self.now, begun=self.begun)
        return Charge(
            machine_id="abc",
            name="dermtune-abc",
            api_url=self.runpod.url,
            place=place,
            limits=self.limits,
            state=state,
        )

    def run(self, **limits: float) -> Report:
        """The report; limits in seconds."""
        self.limits = replace(self.limits, **limits)
        post, charge = self.post(), self.charge()
        with post.journal.alone("abc"):
            post.journal.write(charge)
            return guard(post, charge, View(post.console))


@pytest.fixture
def watch(runpod, rented):
    runpod.rent("abc")
    return Watch(runpod=runpod, rented=rented)


@pytest.fixture
def ran(rented):
    """A sweep runs there, and has ended once its first results are pulled."""
    with rented.driver(until=rented.into / "sweep.json"):
        yield


@pytest.fixture
def door(runpod, rented):
    """The arguments of a watch through the door, impatient."""
    runpod.rent("abc")
    return [
        "run", "abc",
        "--remote", str(rented.folder), "--into", str(rented.into.parent), "--host", "root@machine",
        "--ssh", str(rented.ssh), "--deadline-hours", "10", "--poll-seconds", "0.1", "--pull-minutes", "0.01",
        "--remote-python", PYTHON, "--state", str(rented.here / "state"), "--api-url", runpod.url,
    ]  # fmt: skip


def orphans(door, *more):
    at = door.index("--state")
    return ["orphans", *door[at:], *more]


@contextmanager
def started(door, rented):
    """The watchdog as a process of its own, after its first pull."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), KEY: fake_runpod.KEY}
    command = [sys.executable, "-m", "infra.watchdog", *door]
    with (rented.here / "log").open("w") as log, rented.driver():
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=rented.here)
        try:
            wait_until(
                lambda: process.poll() is not None or (rented.into / "sweep.json").exists(), "the first pull"
            )
            assert process.poll() is None, (rented.here / "log").read_text()
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def killed(door, rented, runpod):
    """What kill -9 leaves of a watch: the machine, and what was written down of it."""
    rented.finish("a" * 16)
    asked = arguments.parse(door)
    provider = RunPod(fake_runpod.KEY, url=runpod.url, patience=Patience(timeout=20))
    view = View(Console(file=io.StringIO()))
    adopt(asked, provider, Journal(asked.common.state), view, time.time())
    return door
