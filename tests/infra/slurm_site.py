"""A real SLURM of two nodes on this machine, in namespaces that end with it: Debian's slurm-wlm and munge."""

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.tiny_sweep import wait_until

CONFIGURATION = """
ClusterName=dermtune
SlurmctldHost=controller(10.77.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
GresTypes=gpu
NodeName=n1 NodeAddr=10.77.0.2 CPUs={cores} Gres=gpu:8
NodeName=n2 NodeAddr=10.77.0.3 CPUs={cores} Gres=gpu:8
PartitionName=main Nodes=n1,n2 Default=YES State=UP
"""
COMMANDS = ("slurmctld", "slurmd", "sbatch", "munged", "unshare", "nsenter", "setpriv", "ip")
APART = ("unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")


def missing() -> str | None:
    """What keeps this machine from having one; None where nothing does."""
    if absent := [name for name in COMMANDS if shutil.which(name) is None]:
        return f"there is no {', '.join(absent)}: apt-get install slurm-wlm munge iproute2"
    if subprocess.run([*APART, "true"], check=False).returncode:
        return "this user may not make namespaces"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmSite:
    """Two nodes of the same cores, eight GPUs each as SLURM counts them; all see this machine's files."""

    folder: Path
    """Configuration, state and logs."""
    pid: int
    """The controller."""

    def run(self, *command: str | os.PathLike[str], **environment: str) -> str:
        """What the command says beside the controller."""
        inside = ("nsenter", "--target", str(self.pid), "--net", "--uts", "--pid", "--mount")
        ours = {"SLURM_CONF": str(self.folder / "slurm.conf"), **environment}
        done = subprocess.run(
            [*inside, *command], env={**os.environ, **ours}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def submit(self, here: Path, *arguments: str | os.PathLike[str], **environment: str) -> str:
        """The id of a job that `sbatch` made in the folder `here`."""
        said = self.run("sbatch", "--parsable", f"--chdir={here}", *arguments, **environment)
        return said.strip()

    def is_idle(self) -> bool:
        """Whether both nodes wait for work, and nothing is left of a job on either."""
        return self.run("sinfo", "--noheader", "--format=%D %t").split() == ["2", "idle"]

    def logs(self) -> list[str]:
        """The end of what each of its processes says."""
        return [f"{path.name}:\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("slurm*.log"))]

    def job(self, job: str) -> dict[str, str]:
        """What `scontrol show job` says of it."""
        return dict(re.findall(r"(\S+?)=(\S*)", self.run("scontrol", "show", "--oneliner", "job", job)))


@contextlib.contextmanager
def two_slurm_nodes() -> Iterator[SlurmSite]:
    """Two nodes that take jobs; nothing of them is left afterwards."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:  # short: sockets lie in it
        folder = Path(name)
        (folder / "state").mkdir()
        (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, cores=os.cpu_count()))
        for number in range(8):  # SLURM looks whether a GPU has a device, not what that does: these are /dev/null
            os.mknod(folder / f"gpu{number}", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        (folder / "gres.conf").write_text(f"NodeName=n[1-2] Name=gpu File={folder}/gpu[0-7]\n")
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o600)
        with (folder / "site.log").open("w") as log:
            outer = subprocess.Popen(
                [*ENDS_WITH_US, *APART, "bash", str(Path(__file__).with_name("slurm_site.sh")), name],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield _ready(folder, outer)
        finally:
            outer.send_signal(signal.SIGKILL)  # which ends the namespaces' first process, and that all others
            outer.wait()


def _ready(folder: Path, outer: "subprocess.Popen[bytes]") -> SlurmSite:
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    wait_until(children.read_text, "the site's first process")
    site = SlurmSite(folder=folder, pid=int(children.read_text()))

    def idle() -> bool:
        assert outer.poll() is None, (folder / "site.log").read_text()
        with contextlib.suppress(AssertionError):  # the controller does not answer yet
            return site.is_idle()
        return False

    wait_until(idle, f"two idle nodes ({folder})", seconds=60)
    return site
