"""Trials that two processes train together, without Ray: `python -m tests.crews FOLDER RANK` is one of them."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dermtune.crew import Crew
from dermtune.crewgroup import Meeting, called, joined
from dermtune.data.place import Place
from dermtune.durable import read_json, write_json
from dermtune.plan import Trial
from tests.tiny_sweep import wait_until

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the processes are to train."""

    trials: Sequence[Trial]
    place: Place
    checkpoints: Path
    held: Mapping[int, int] = field(default_factory=dict)
    """Images of a pass, of trials by their place, where that is not the recipe's number."""
    processes: int = 2
    killed_after: int = 0
    """The first process dies when so many epochs have their checkpoint; 0 is never."""


def model_of(folder: Path, number: int) -> Path:
    """Where the model of a trial is kept."""
    return folder / f"model{number}"


def in_crew(given: Given) -> list[list[object]]:
    """By rank, each trial's outcome or what it raised; of a crew that is killed, nothing."""
    given.checkpoints.mkdir(parents=True, exist_ok=True)
    (given.checkpoints / "given").write_bytes(pickle.dumps(given))
    for file in given.checkpoints.glob("meeting*"):
        file.unlink()  # a crew that was killed met there
    command = [sys.executable, "-m", "tests.crews", str(given.checkpoints)]
    ranks = [subprocess.Popen([*command, str(rank)], cwd=ROOT) for rank in range(given.processes)]
    try:
        codes = [rank.wait(timeout=300) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    if given.killed_after:
        assert codes[0] == -signal.SIGKILL
        return []
    assert codes == [0] * given.processes
    return [pickle.loads((given.checkpoints / f"outcomes{rank}").read_bytes()) for rank in range(given.processes)]


@contextlib.contextmanager
def meeting(file: Path, rank: int) -> Iterator[tuple[Meeting, int | None]]:
    """Where the crew meets, by way of a file: the first process writes it."""
    if rank == 0:
        with called("127.0.0.1") as (at, listening):
            write_json(file, {"host": at.host, "port": at.port})
            yield at, listening
        file.unlink()
        return
    wait_until(file.exists, "the first process")
    yield Meeting(**read_json(file)), None


def main(folder: Path, rank: int) -> None:
    """One process of the crew: all trials, one after the other."""
    from dermtune.data.dataset import open_dataset
    from dermtune.train import train

    given: Given = pickle.loads((folder / "given").read_bytes())
    crew = Crew(rank=rank, processes=given.processes)
    data = open_dataset(given.trials[0].config.data, given.place)
    outcomes: list[object] = []
    for number, trial in enumerate(given.trials):
        checkpoint = folder / str(number)
        checkpoint.mkdir(exist_ok=True)

        def kept(history) -> None:
            if rank == 0 and len(history) == given.killed_after:
                os.kill(os.getpid(), signal.SIGKILL)

        at_file = folder / f"meeting{number}"
        with meeting(at_file, rank) as (at, listening), joined(crew, at, threads=1, listening=listening):
            try:
                outcomes.append(
                    train(
                        trial,
                        data,
                        checkpoint=checkpoint,
                        threads=1,
                        on_epoch=kept,
                        crew=crew,
                        micro_batch=given.held.get(number),
                        keep_at=model_of(folder, number),
                    )
                )
            except Exception as error:  # noqa: BLE001 the test looks at it
                outcomes.append(error)
    (folder / f"outcomes{rank}").write_bytes(pickle.dumps(outcomes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
