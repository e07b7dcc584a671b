"""What a trial's further processes do: all that its first one does, but for what that one writes and tells."""

from pathlib import Path

from dermtune.crew import Crew
from dermtune.crewgroup import Meeting, joined
from dermtune.data.place import Place
from dermtune.opened import checked_dataset
from dermtune.plan import Trial
from dermtune.train import train


def make_ready(trial: Trial, place: Place) -> None:
    """Open the trial's images. Raises DataError."""
    checked_dataset(trial, place)


def follow(
    trial: Trial,
    place: Place,
    checkpoint: Path,
    micro_batch: int | None,
    *,
    crew: Crew,
    meeting: Meeting,
    address: str,
    threads: int,
) -> None:
    """Train the trial with the others of its crew. Raises what `train` does."""
    data = checked_dataset(trial, place)
    with joined(crew, meeting, address=address, threads=threads):
        train(
            trial,
            data,
            checkpoint=checkpoint,
            threads=threads,
            on_epoch=lambda _: None,
            micro_batch=micro_batch,
            crew=crew,
        )
