"""How a machine is reached by ssh: where its provider says it is, or where a person says."""

import shlex
from pathlib import Path

from infra.watchdog.journal import Place
from infra.watchdog.machine import Machine
from infra.watchdog.remote import Remote

USER = "root"
"""As which RunPod's machines are entered."""


def reach(machine: Machine, place: Place, folder: Path) -> Remote | None:
    """The way to the machine; None as long as it has no address. Its key, learnt at first sight, is in `folder`."""
    target = place.host or (machine.host and f"{USER}@{machine.host}")
    if not target:
        return None
    port = place.port or (None if place.host else machine.port)
    ssh = shlex.split(place.ssh) if place.ssh else _openssh(folder)
    return Remote(
        machine_id=machine.id,
        ssh=[*ssh, *(["-p", str(port)] if port else [])],
        target=target,
        rsync=shlex.split(place.rsync),
        python=shlex.split(place.python),
        folder=place.remote,
    )


def _openssh(folder: Path) -> list[str]:
    """Asks for nothing, and finds within a minute that the other end is dead."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "15",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": f'"{folder / "known_hosts"}"',  # several files would stand there, with blanks between
    }
    return ["ssh", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
