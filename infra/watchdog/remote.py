"""The machine by ssh: what lies there, a word to its driver, and the results from there to here."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.watchdog import probe
from infra.watchdog.listing import Listing

_VANISHED = 24
"""rsync's code where files went away while it read: a sweep replaces files as it runs."""


_SSH_FAILED = 255
"""ssh's own code; any other is the command's."""
STALLED = 60
"""Seconds without a byte after which rsync gives up."""


class RemoteError(Exception):
    """The machine did not answer, or not as it must; a clause."""


class RefusedError(RemoteError):
    """The machine is there and lets nobody in by that key."""


class OtherMachineError(RemoteError):
    """What answers there is not the machine that it should be: nothing of it may be pulled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """How a machine is reached, and the sweep's folder on it."""

    machine_id: str
    must_say: bool
    """Whether one that does not know which it is counts as another one: no person has said where it is."""
    ssh: Sequence[str]
    """Command and options, all but the target."""
    target: str
    """`user@host`."""
    rsync: Sequence[str]
    python: Sequence[str]
    """Of that machine, with options."""
    folder: str
    """On that machine; relative to where ssh arrives."""

    def look(self, *, within: float, hashes: bool = False, stop: bool = False) -> Listing:
        """What lies there; with `stop` its driver is told to stop. Raises RemoteError."""
        asked = json.dumps({"folder": self.folder, "hashes": hashes, "signal": stop})
        there = shlex.join([*self.python, "-", asked])
        said = _run([*self.ssh, self.target, there], within, Path(probe.__file__).read_text(encoding="utf-8"))
        if said.returncode == _SSH_FAILED and "Permission denied" in said.stderr:
            raise RefusedError(f"{self.target} {_ended(said)}")
        if said.returncode:
            raise RemoteError(f"{self.target} {_ended(said)}")
        try:
            listing = Listing.from_dict(json.loads(said.stdout))
        except (ValueError, LookupError, TypeError, AttributeError):
            raise RemoteError(f"{self.target} answers something else than a listing") from None
        named = listing.machine_id
        if named != self.machine_id and (named is not None or self.must_say):
            said_it = "cannot say which pod it is" if named is None else f"says that it is {named}"
            raise OtherMachineError(f"{self.target} must be {self.machine_id}, and {said_it}")
        return listing

    def pull(self, into: Path, *, keep: Iterable[str], within: float, checksum: bool = False) -> None:
        """Bring here what lies there. Raises RemoteError, also where the time is up.

        Nothing here is ever deleted: a machine that has lost its disk would empty this folder, too. What `keep`
        names is left as it is here. A transfer that is cut off leaves no half file in a file's place. With
        `checksum` contents are compared, not sizes and times.
        """
        into.mkdir(parents=True, exist_ok=True)
        options = [
            "-a",
            "--no-owner",
            "--no-group",
            "--no-links",
            "--no-D",
            "-s",
            "--partial-dir=.rsync-partial",
            f"--timeout={STALLED}",
        ]
        options += ["--checksum"] * checksum + ["--exclude-from=-", "-e", shlex.join(self.ssh)]
        places = [f"{self.target}:{self.folder.rstrip('/')}/", f"{into}/"]
        left_out = "\n".join([".*", *probe.LEFT_THERE, *(f"/{path}" for path in keep), ""])
        said = _run([*self.rsync, *options, *places], within, left_out)
        if said.returncode not in (0, _VANISHED):
            raise RemoteError(f"rsync from {self.target} {_ended(said)}")


def _run(command: Sequence[str], within: float, stdin: str) -> "subprocess.CompletedProcess[str]":
    """The command after its end, it and all that it started. Raises RemoteError where the time is up."""
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace", start_new_session=True
        )
    except OSError as error:
        raise RemoteError(f"{command[0]} cannot be started: {error.strerror}") from None
    try:
        out, err = process.communicate(stdin, timeout=max(within, 0.1))
    except subprocess.TimeoutExpired:
        raise RemoteError(f"{command[0]} gave no answer within {within:.0f} s") from None
    finally:
        if process.poll() is None:
            _kill(process)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _kill(process: "subprocess.Popen[str]") -> None:
    """End the whole group, and wait until what was its head is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _ended(said: "subprocess.CompletedProcess[str]") -> str:
    """How it ended: the last line that it said."""
    last = (said.stderr.strip() or "it said nothing").splitlines()[-1]
    return f"ended with code {said.returncode}: {last}"
