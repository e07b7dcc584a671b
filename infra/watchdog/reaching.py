"""How a machine is reached by ssh: where its provider says it is, or where a person says."""

import shlex
from pathlib import Path

from infra.watchdog.journal import Charge
from infra.watchdog.remote import Remote

USER = "root"
"""As which RunPod's machines are entered."""


def reach(charge: Charge, folder: Path) -> Remote | None:
    """The way to the machine; None as long as it has no address. Its key, learnt at first sight, is in `folder`."""
    place, address = charge.place, charge.address
    target = place.host or (address and f"{USER}@{address.host}")
    if not target:
        return None
    port = place.port or (address.port if address and not place.host else None)
    ssh = shlex.split(place.ssh) if place.ssh else _openssh(folder)
    return Remote(
        machine_id=charge.machine_id,
        must_say=charge.is_named or place.host is None,
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
