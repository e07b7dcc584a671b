"""The further processes of a trial: actors in the bundles that Tune has reserved with the trial's own.

They live and die with the trial's worker, which owns them; the reservation is Tune's, so none can be left behind
and no trial can wait for a part of what it needs (docs/decisions/0011-a-trial-of-several-processes.md).
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import ray
from ray import tune
from ray.exceptions import RayActorError, RayError
from ray.util import get_current_placement_group, get_node_ip_address
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from dermtune.crew import Crew, Gather, no_others
from dermtune.data.place import Place
from dermtune.memory import lacks_memory
from dermtune.plan import Trial

GRACE = 5.0
"""Seconds in which the trial's worker meets by itself what another process has met, before the others are ended."""
STUCK = 20.0
"""Seconds after which a worker that still waits for processes that are gone is ended, too."""

_BROKEN = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")
"""What torch says of a group that one of its processes has left."""


class LostProcess(RuntimeError):
    """One of the processes of a trial has died: the trial is tried again, as where its worker has."""


def reserved(
    processes: int, cpus: float, gpus: float, *, on_one_node: bool = False
) -> dict[str, float] | tune.PlacementGroupFactory:
    """What Tune reserves for a trial: of several processes a bundle each, on one node where one has the room.

    `on_one_node` allows no other: the processes must all see the trial's checkpoint.
    """
    if processes == 1:
        return {"cpu": cpus, "gpu": gpus}
    return tune.PlacementGroupFactory(
        [{"CPU": cpus / processes, "GPU": gpus / processes}] * processes,
        strategy="STRICT_PACK" if on_one_node else "PACK",
    )


def gathering(processes: int, cpus: float, gpus: float, threads: int) -> Gather:
    """How a worker gathers the crew of its trial; there is none to gather where it trains by itself."""
    if processes == 1:
        return no_others
    return partial(_gathered, processes=processes, cpus=cpus / processes, gpus=gpus / processes, threads=threads)


@contextlib.contextmanager
def _gathered(
    trial: Trial,
    place: Place,
    checkpoint: Path,
    micro_batch: int | None,
    *,
    processes: int,
    cpus: float,
    gpus: float,
    threads: int,
) -> Iterator[Crew]:
    """The crew, with this process as its first. Raises LostProcess, and what another process has raised first."""
    from dermtune.crewgroup import called, joined  # torch takes seconds to import

    host = get_node_ip_address()
    with _actors(processes - 1, cpus, gpus) as others, called(host) as (meeting, listening):
        crews = [Crew(rank=rank, processes=processes) for rank in range(processes)]
        ready = [other.make_ready.remote(trial, place) for other in others]
        with _heard():
            ray.get(ready)
        ends = [
            other.follow.remote(trial, place, checkpoint, micro_batch, crew=crew, meeting=meeting, threads=threads)
            for other, crew in zip(others, crews[1:], strict=True)
        ]
        with _Watch(others, ends), joined(crews[0], meeting, threads=threads, listening=listening):
            try:
                yield crews[0]
            except BaseException:
                _end(others)  # before the group is left: they may wait in it for this process
                raise
            ray.wait(ends, num_returns=len(ends))


class _Other:
    """One further process of a trial."""

    def make_ready(self, trial: Trial, place: Place) -> None:
        """Load what takes time, so that no process waits long for another one inside the group."""
        from dermtune.following import make_ready

        make_ready(trial, place)

    def follow(self, trial: Trial, place: Place, checkpoint: Path, micro_batch: int | None, **joining: Any) -> None:
        """Train the trial with the others, to its end; `joining` says how to find them."""
        from dermtune.following import follow

        follow(trial, place, checkpoint, micro_batch, **joining)


@contextlib.contextmanager
def _actors(n: int, cpus: float, gpus: float) -> Iterator[Sequence[Any]]:
    """So many further processes, each in a bundle of its own behind that of this worker.

    Those whose trial has ended well are kept for the worker's next one: to load torch takes seconds.
    """
    others, _kept[:] = _kept[:] or _started(n, cpus, gpus), ()
    try:
        yield others
    except BaseException:
        _end(others)
        raise
    _kept[:] = others


_kept: list[Any] = []
"""The further processes of this worker while it is between two trials, which all have as many."""


def _started(n: int, cpus: float, gpus: float) -> Sequence[Any]:
    group = cast(PlacementGroup, get_current_placement_group())
    actor = ray.remote(num_cpus=cpus, num_gpus=gpus)(_Other)
    return [
        actor.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, index)).remote()
        for index in range(1, n + 1)
    ]


def _end(others: Sequence[Any]) -> None:
    for other in others:
        ray.kill(other)


@contextlib.contextmanager
def _heard() -> Iterator[None]:
    """What another process raised is raised as itself, its death as LostProcess."""
    try:
        yield
    except RayActorError as error:
        raise LostProcess(f"one of the trial's processes has died: {' '.join(str(error).split())}") from None
    except RayError as error:
        raise getattr(error, "cause", None) or error from None


class _Watch(contextlib.AbstractContextManager["_Watch"]):
    """Hears how the other processes end while this one may wait for them inside the group."""

    def __init__(self, others: Sequence[Any], ends: Sequence[Any]) -> None:
        self._others = others
        self._ends = list(ends)
        self._over = threading.Event()
        self._failed = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._listen, name="crew", daemon=True)
        self._thread.start()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._over.set()
        if not isinstance(error, RuntimeError) or lacks_memory(error):
            return  # this process's own affair
        if self._failed.wait(STUCK) and self._error is not None:
            raise self._error from error
        if any(word in str(error).lower() for word in _BROKEN):
            raise LostProcess(f"the trial's processes have lost each other: {error}") from error

    def _listen(self) -> None:
        waiting = self._ends
        while waiting and not self._over.is_set():
            ended, waiting = ray.wait(waiting, num_returns=1, timeout=0.5)
            for end in ended:
                try:
                    with _heard():
                        ray.get(end)
                except Exception as error:  # noqa: BLE001 - it is raised by the one that waits
                    self._error = error
                    self._failed.set()
                    self._break_off()
                    return

    def _break_off(self) -> None:
        """End the wait of a worker that has not noticed by itself, and the worker where even that does not help."""
        if not self._over.wait(GRACE):
            _end(self._others)
            if not self._over.wait(STUCK):
                os.kill(os.getpid(), signal.SIGKILL)
