"""The processes of a trial on several machines: each is a network namespace with its own address and name."""

import subprocess
import sys

import pytest

from tests.namespaces import network, why_not
from tests.tiny_sweep import ROOT

reason = why_not()
pytestmark = pytest.mark.skipif(reason is not None, reason=f"no machines of their own: {reason}")

MEET = """
import sys
from pathlib import Path
from dermtune.crew import Crew
from dermtune.crewgroup import Meeting, agreed, called, joined

rank, port, here = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
crew = Crew(rank=rank, processes=2)

def agree(meeting, listening=None):
    with joined(crew, meeting, address=here, threads=1, listening=listening):
        print(agreed(crew, Path("/trial"), lambda: Path("/trial/checkpoint-7")))

if rank == 0:
    with called(here) as (meeting, listening):
        port.write_text(str(meeting.port))
        agree(meeting, listening)
else:
    while not port.exists() or not port.read_text():
        pass
    agree(Meeting(host=sys.argv[4], port=int(port.read_text())))
"""


def test_two_machines_find_each_other_whatever_their_own_names_stand_for(tmp_path):
    with network() as net:
        machines = [net.add("one"), net.add("another")]
        ranks = [
            subprocess.Popen(
                machine.inside(
                    sys.executable,
                    "-c",
                    MEET,
                    str(rank),
                    str(tmp_path / "port"),
                    machine.address,
                    machines[0].address,
                ),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank, machine in enumerate(machines)
        ]
        said = [rank.communicate(timeout=120)[0] for rank in ranks]
    assert [lines.splitlines()[-1] for lines in said] == ["/trial/checkpoint-7"] * 2, said
