"""Machines of their own on this one: network namespaces on a switch, with own addresses, names and disks."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.tiny_sweep import ROOT, wait_until

NETWORK = "10.77.3"


def why_not() -> str | None:
    """Why there can be no namespaces here; None where there can."""
    if shutil.which("ip") is None:
        return "needs `ip` (Debian's iproute2)"
    name = f"dt{os.getpid()}-try"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"needs the right to make network namespaces: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One namespace."""

    name: str
    """Its host's name."""
    namespace: str
    address: str
    hidden: tuple[Path, ...] = ()
    """Folders of this machine in whose place it has empty ones of its own."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def inside(self, *command: str) -> list[str]:
        """The command, to be run in it."""
        mounts = "".join(f"mkdir -p {path} && mount -t tmpfs none {path} && " for path in self.hidden)
        script = f'hostname {self.name} && {mounts}exec "$@"'
        return ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "sh", "-c", script, "sh", *command]


@dataclass(kw_only=True)
class Network:
    """The machines, and the switch between them."""

    prefix: str
    machines: list[Machine] = field(default_factory=list)
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def switch(self) -> str:
        return f"{self.prefix}-switch"

    def add(
        self, name: str, *, hidden: Sequence[Path] = (), environment: Mapping[str, str] | None = None
    ) -> Machine:
        """One more machine, on the network from now on."""
        number = len(self.machines) + 1
        machine = Machine(
            name=name,
            namespace=f"{self.prefix}-{name}",
            address=f"{NETWORK}.{number}",
            hidden=tuple(hidden),
            environment=environment or {},
        )
        _ip("netns", "add", machine.namespace)
        self.machines.append(machine)
        _ip("-n", self.switch, "link", "add", f"port{number}", "type", "veth", "peer", "name", f"plug{number}")
        _ip("-n", self.switch, "link", "set", f"plug{number}", "netns", machine.namespace)
        _ip("-n", machine.namespace, "link", "set", f"plug{number}", "name", "eth0")
        _ip("-n", machine.namespace, "addr", "add", f"{machine.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _ip("-n", machine.namespace, "link", "set", link, "up")
        _ip("-n", self.switch, "link", "set", f"port{number}", "master", "bridge")
        _ip("-n", self.switch, "link", "set", f"port{number}", "up")
        return machine

    def start(self, machine: Machine, *command: str, log: Path) -> None:
        """Have the command under way in it until the network ends."""
        with log.open("ab") as file:
            started = subprocess.Popen(
                machine.inside(*command),
                env={**os.environ, **machine.environment},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.processes.append(started)

    def signal(self, machine: Machine, number: int) -> None:
        """Send it to all that runs in the machine."""
        _signal(machine.namespace, number)

    def cut_off(self, machine: Machine) -> None:
        """Pull the machine's plug."""
        _ip("-n", self.switch, "link", "set", f"port{self.machines.index(machine) + 1}", "down")


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A switch without machines; at the end all that runs in any of them is ended."""
    net = Network(prefix=f"dt{os.getpid()}")
    _ip("netns", "add", net.switch)
    try:
        _ip("-n", net.switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", net.switch, "link", "set", "bridge", "up")
        yield net
    finally:
        for machine in net.machines:
            _empty(machine.namespace)
            _ip("netns", "del", machine.namespace)
        for process in net.processes:
            process.wait()
        _ip("netns", "del", net.switch)


def ray_head(net: Network, machine: Machine, folder: Path, log: Path) -> str:
    """Address of a cluster whose head, without a core for trials, is that machine; `folder` is for Ray's files."""
    address = f"{machine.address}:6379"
    where = ("--head", "--port", "6379", "--node-ip-address", machine.address, "--temp-dir", str(folder))
    net.start(machine, *_RAY, *where, "--num-cpus", "0", "--include-dashboard", "false", "--block", log=log)
    answers = [sys.executable, "-c", f"import socket; socket.create_connection(('{machine.address}', 6379), 1)"]
    asked = machine.inside(*answers)
    wait_until(lambda: subprocess.run(asked, capture_output=True, check=False).returncode == 0, f"Ray ({log})")
    return address


def ray_node(net: Network, machine: Machine, address: str, log: Path) -> None:
    """Have the machine join the cluster with one core."""
    where = ("--address", address, "--node-ip-address", machine.address)
    net.start(machine, *_RAY, *where, "--num-cpus", "1", "--block", log=log)


_RAY = (sys.executable, "-m", "ray.scripts.scripts", "start")


def _empty(namespace: str) -> None:
    """End all that runs in it."""
    for _ in range(100):
        if not _signal(namespace, signal.SIGKILL):
            return
        time.sleep(0.1)
    raise TimeoutError(f"some live on in {namespace}")


def _signal(namespace: str, number: int) -> int:
    """How many were there."""
    pids = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=True).stdout
    for pid in pids.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), number)
    return len(pids.split())


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, cwd=ROOT)
