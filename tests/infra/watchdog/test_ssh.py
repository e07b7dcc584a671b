"""The way to a machine by a real sshd: the options that are the default, quoting, and a key that changes."""

import getpass
import os
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from infra.watchdog import reaching
from infra.watchdog.journal import Address, Charge, Place
from infra.watchdog.limits import Rent
from infra.watchdog.remote import RefusedError, RemoteError
from infra.watchdog.state import State
from tests.infra.watchdog.conftest import LIMITS, PYTHON
from tests.infra.watchdog.rented import Rented
from tests.tiny_sweep import wait_until
from tests.tracking_server import free_port

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")


def new_key(path):
    path.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def start(here, port):
    """An sshd on loopback that lets this user in by one key."""
    config = here / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {here / 'host_key'}\nPidFile {here / 'pid'}\n"
        f"AuthorizedKeysFile {here / 'user_key.pub'}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd of root asks for it, whatever its config
    log = (here / "sshd.log").open("w")
    with log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=log)
    wait_until(lambda: process.poll() is not None or listens(port), "sshd")
    assert process.poll() is None, (here / "sshd.log").read_text()
    return process


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def sshd(tmp_path):
    if SSHD is None:
        pytest.skip("sshd is not on this machine: apt-get install openssh-server")
    new_key(tmp_path / "host_key")
    new_key(tmp_path / "user_key")
    port = free_port()
    process = start(tmp_path, port)
    yield port, process
    process.kill()
    process.wait()


class Quoted(Rented):
    """A sweep in a folder whose name a shell would take apart."""

    @property
    def folder(self):
        return self.here / "machine" / "it's $HOME" / "focal-tiny"


@pytest.fixture
def way(sshd, tmp_path, monkeypatch):
    """The default way to this machine, but for the key of this test."""
    openssh = reaching._openssh
    monkeypatch.setattr(reaching, "_openssh", lambda folder: [*openssh(folder), "-i", str(tmp_path / "user_key")])
    rented = Quoted(here=tmp_path).begin().finish()
    place = Place(
        remote=str(rented.folder),
        into=str(rented.into),
        host=None,
        port=None,
        ssh=None,
        rsync="rsync",
        python=PYTHON,
        usd_per_hour=None,
    )
    charge = Charge(
        machine_id="abc",
        name="",
        api_url="",
        place=replace(place, host=f"{getpass.getuser()}@127.0.0.1", port=sshd[0]),
        limits=LIMITS,
        state=State(rent=Rent(since=0.0, usd_per_hour=None), active=0.0),
        address=Address(host="192.0.2.7", port=22),
    )
    (tmp_path / "host key of").mkdir()
    return reaching.reach(charge, tmp_path / "host key of"), rented


def test_results_come_by_ssh_from_a_folder_with_any_name_and_the_machines_key_is_learnt(way, tmp_path):
    remote, rented = way
    listing = remote.look(within=60, hashes=True)
    assert listing.is_sweep
    remote.pull(rented.into, keep=(), within=60)
    assert rented.same()
    learnt = (tmp_path / "host key of" / "known_hosts").read_text()
    assert (tmp_path / "host_key.pub").read_text().split()[1] in learnt


def test_a_machine_with_another_key_at_the_same_address_is_not_entered(way, sshd, tmp_path):
    remote, _ = way
    port, process = sshd
    remote.look(within=60)
    process.kill()
    process.wait()
    new_key(tmp_path / "host_key")
    other = start(tmp_path, port)
    try:
        with pytest.raises(RemoteError, match="Host key verification failed"):
            remote.look(within=60)
    finally:
        other.kill()
        other.wait()


def test_a_machine_that_takes_too_long_is_not_waited_for_and_a_folder_that_is_not_there_is_told(way):
    remote, rented = way
    slow = replace(remote, python=["sh", "-c", "sleep 5"])
    with pytest.raises(RemoteError, match="ssh gave no answer within 1 s"):
        slow.look(within=1)
    with pytest.raises(RemoteError, match=r"rsync .*code"):
        replace(remote, folder="/no/such/folder").pull(rented.into, keep=(), within=60)


def test_a_machine_that_lets_nobody_in_by_this_key_is_told_from_one_that_does_not_answer(way, sshd, tmp_path):
    remote, _ = way
    new_key(tmp_path / "user_key").with_suffix(".pub").write_text("")
    with pytest.raises(RefusedError, match="Permission denied"):
        remote.look(within=60)
    sshd[1].kill()
    sshd[1].wait()
    with pytest.raises(RemoteError) as away:
        remote.look(within=60)
    assert not isinstance(away.value, RefusedError)
