"""Trials that two processes train together, without Ray."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermtune.crew import Crew
from dermtune.crewgroup import LOOPBACK, Meeting, called, joined
from dermtune.data.place import Place
from dermtune.durable import read_json, write_json
from dermtune.plan import Trial
from tests.tiny_sweep import wait_until
from tests.undetermined import undetermined

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One trial, and how far it is trained."""

    trial: Trial
    micro_batch: int | None = None
    """Images of a pass; None for the recipe's number."""
    cut_off_after: int = 0
    """It ends when so many epochs have their checkpoint; 0 trains all."""
    goes_on_from: str = ""
    """Name of the run whose checkpoints it finds."""
    undetermined: bool = False
    """It needs an operation without a deterministic kernel."""


class CutOff(Exception):
    """What ends a run that is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the processes are to do, one run after the other, by name."""

    runs: Mapping[str, Run]
    place: Place
    folder: Path
    """Of each run a folder `<name>/checkpoint` and `<name>/model`."""
    processes: int = 2
    killed: bool = False
    """The first process dies with the first run that is cut off."""


def in_crew(given: Given) -> list[dict[str, Any]]:
    """By rank, each run's outcome or what it raised; of a crew that is killed, nothing."""
    given.folder.mkdir(parents=True, exist_ok=True)
    (given.folder / "given").write_bytes(pickle.dumps(given))
    for file in given.folder.glob("*/meeting"):
        file.unlink()  # a crew that was killed met there
    line = "import sys; from tests.crews import take_part; take_part(sys.argv[1], int(sys.argv[2]))"
    command = [sys.executable, "-c", line, str(given.folder)]
    ranks = [subprocess.Popen([*command, str(rank)], cwd=ROOT) for rank in range(given.processes)]
    try:
        codes = [rank.wait(timeout=500) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    if given.killed:
        assert codes[0] == -signal.SIGKILL
        return []
    assert codes == [0] * given.processes
    return [pickle.loads((given.folder / f"outcomes{rank}").read_bytes()) for rank in range(given.processes)]


@contextlib.contextmanager
def meeting(file: Path, rank: int) -> Iterator[tuple[Meeting, int | None]]:
    """Where the crew meets, by way of a file: the first process writes it."""
    if rank == 0:
        with called(LOOPBACK) as (at, listening):
            write_json(file, {"host": at.host, "port": at.port})
            yield at, listening
        file.unlink()
        return
    wait_until(file.exists, "the first process")
    yield Meeting(**read_json(file)), None


def take_part(where: str, rank: int) -> None:
    """One process of the crew: all runs, one after the other."""
    from dermtune.data.dataset import open_dataset
    from dermtune.train import History, train

    folder = Path(where)
    given: Given = pickle.loads((folder / "given").read_bytes())
    crew = Crew(rank=rank, processes=given.processes)
    data = open_dataset(next(iter(given.runs.values())).trial.config.data, given.place)
    outcomes: dict[str, object] = {}
    for name, run in given.runs.items():
        (folder / name).mkdir(exist_ok=True)

        def kept(history: History, run: Run = run) -> None:
            assert len(history) > 1 or not run.goes_on_from, "it began anew"
            if len(history) == run.cut_off_after and given.killed and rank == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            if len(history) == run.cut_off_after:
                raise CutOff

        at_file = folder / name / "meeting"
        with contextlib.ExitStack() as inside:
            at, listening = inside.enter_context(meeting(at_file, rank))
            inside.enter_context(joined(crew, at, address=LOOPBACK, threads=1, listening=listening))
            if run.undetermined:
                inside.enter_context(undetermined())
            try:
                outcomes[name] = train(
                    run.trial,
                    data,
                    checkpoint=folder / (run.goes_on_from or name) / "checkpoint",
                    threads=1,
                    on_epoch=kept,
                    crew=crew,
                    micro_batch=run.micro_batch,
                    keep_at=folder / name / "model",
                )
            except Exception as error:  # noqa: BLE001 the test looks at it
                outcomes[name] = error
    (folder / f"outcomes{rank}").write_bytes(pickle.dumps(outcomes))
