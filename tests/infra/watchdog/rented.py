"""The machine that is rented: a folder of this one, entered by an `ssh` that leads nowhere else."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dermtune.ledger import TrialFolder
from tests.tiny_sweep import wait_until

SSH = """#!/bin/sh
# Takes what ssh takes, and runs the command here.
while [ "${1#-}" != "$1" ]; do
    case "$1" in -p|-o|-l) shift 2;; *) shift;; esac
done
shift
if [ -e "$(dirname "$0")/away" ]; then
    echo "ssh: connect to host 192.0.2.7 port 10022: Connection timed out" >&2
    exit 255
fi
exec sh -c "$*"
"""

DRIVER = """
import fcntl, json, os, pathlib, platform, signal, sys, time
folder, obeys, until = pathlib.Path(sys.argv[1]), sys.argv[2] == "obeys", pathlib.Path(sys.argv[3])
file = open(folder / "driver.lock", "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.truncate(0)
os.write(file.fileno(), json.dumps({"pid": os.getpid(), "host": platform.node()}).encode())
def stop(*_):
    if obeys:
        (folder / "stopped").write_text("in order")
        os._exit(143)
    (folder / "deaf").write_text("heard")
signal.signal(signal.SIGTERM, stop)
print("runs", flush=True)
while not until.is_file():
    time.sleep(0.05)
"""
"""A sweep's driver as it is seen from outside: the lock, with its pid and host. It ends once a file is there."""


@dataclass(kw_only=True)
class Rented:
    """A machine's disk, and the sweep on it."""

    here: Path
    trials: Sequence[str] = field(default_factory=lambda: ("a" * 16, "b" * 16))

    @property
    def folder(self) -> Path:
        return self.here / "machine" / "runs" / "focal-tiny"

    @property
    def ssh(self) -> Path:
        return self.here / "ssh"

    @property
    def into(self) -> Path:
        return self.here / "home" / "runs" / "focal-tiny"

    def begin(self) -> "Rented":
        """A sweep was asked for, and nothing is done of it."""
        self.folder.mkdir(parents=True)
        self.ssh.write_text(SSH)
        self.ssh.chmod(0o755)
        asked = {"format": 1, "trials": [{"trial_id": t, "arm": "baseline", "seed": 0} for t in self.trials]}
        (self.folder / "sweep.json").write_text(json.dumps(asked))
        return self

    def finish(self, *trials: str) -> "Rented":
        """These trials are done; all of them where none is named."""
        for trial_id in trials or self.trials:
            trial = TrialFolder(self.folder / "trials" / trial_id)
            trial.path.mkdir(parents=True)
            for split in ("val", "test"):
                trial.predictions(split).write_bytes(f"{trial_id} {split}".encode() * 100)
            trial.write_history([{"epoch": 1}])
            trial.finish({"trial_id": trial_id})
        return self

    def fail(self, trial_id: str) -> None:
        trial = TrialFolder(self.folder / "trials" / trial_id)
        trial.path.mkdir(parents=True)
        trial.fail("failed", "it went wrong", "")

    def age(self, hours: float) -> None:
        """Nothing has changed for so long."""
        then = time.time() - 3600 * hours
        for path in self.folder.rglob("*"):
            os.utime(path, (then, then))

    def away(self, is_away: bool = True) -> None:
        """Nobody comes in by ssh."""
        mark = self.here / "away"
        mark.touch() if is_away else mark.unlink(missing_ok=True)

    @contextmanager
    def driver(self, *, obeys: bool = True, until: Path = Path("/")) -> Iterator["subprocess.Popen[str]"]:
        """A sweep runs; it stops on SIGTERM, or is deaf to it. It has ended when `until` is a file."""
        command = [sys.executable, "-c", DRIVER, str(self.folder), "obeys" if obeys else "deaf", str(until)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "runs\n"
            try:
                yield process
            finally:
                process.kill()

    def rsync(self, then: str) -> str:
        """An rsync after which something happens to what it has brought, by a line of shell."""
        script = self.here / "rsync"
        script.write_text(f'#!/bin/sh\nrsync "$@"\ncode=$?\ncd {self.into}\n{then}\nexit $code\n')
        script.chmod(0o755)
        return str(script)

    def same(self) -> bool:
        """Whether everything that lies there lies here."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.name != "driver.lock"]
        there = {path.relative_to(self.folder): path.read_bytes() for path in files}
        return bool(there) and all(
            (self.into / path).is_file() and (self.into / path).read_bytes() == content
            for path, content in there.items()
            if "checkpoint" not in path.parts
        )


__all__ = ["Rented", "wait_until"]
