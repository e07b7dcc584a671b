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
from dermtune.data.manifest import DataError
from dermtune.data.place import Place
from dermtune.memory import lacks_memory
from dermtune.plan import Trial
from dermtune.tuner.fitting import Asked
from dermtune.tuner.sight import Sight, this_node

GRACE = 5.0
"""Seconds in which the trial's worker meets by itself what another process has met, before the others are ended.

And in which it hears of another's end, where what it has met itself may have come of that.
"""
STUCK = 20.0
"""Seconds after which a worker that still waits for processes that are gone is ended, too.

And after which a process that does not end with its trial is ended.
"""

_BROKEN = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")
"""What torch says of a group that one of its processes has left."""


class LostProcess(RuntimeError):
    """One of the processes of a trial has died: the trial is tried again, as where its worker has."""


def reserved(asked: Asked) -> dict[str, float] | tune.PlacementGroupFactory:
    """What Tune reserves for a trial: of several processes a bundle each, on one node where one has the room."""
    cpus, gpus, processes = asked.cpus, asked.gpus or 0.0, asked.processes
    if processes == 1:
        return {"cpu": cpus, "gpu": gpus}
    return tune.PlacementGroupFactory(
        [{"CPU": cpus / processes, "GPU": gpus / processes}] * processes,
        strategy="STRICT_PACK" if asked.on_one_node else "PACK",
    )


def lacking(
    trials: Sequence[Trial], place: Place, sight: Sight, processes: int, cpus: float, gpus: float
) -> tuple[str, str] | None:
    """A node, and what it lacks for the trials: this one, or another that their further processes are on."""
    why = sight.lacking(trials)
    if why is not None:
        return this_node(), why
    if processes == 1 or sight.folder is None:  # or they are all here
        return None
    with _actors(processes - 1, cpus / processes, gpus / processes) as others, _heard():
        found = ray.get([other.lacking.remote(trials, place, sight) for other in others])
    return next((one for one in found if one is not None), None)


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
        group = joined(crews[0], meeting, address=host, threads=threads, listening=listening)
        with _Watch(others, ends) as watch, group:
            try:
                yield crews[0]
            except BaseException as error:
                watch.settle(error)  # whose it is can be told as long as they live
                _end(others)  # before the group is left: they may wait in it for this process
                raise
            _wait_for(others, ends)


class _Other:
    """One further process of a trial."""

    def lacking(self, trials: Sequence[Trial], place: Place, sight: Sight) -> tuple[str, str] | None:
        """This node and what it lacks; None where it has all, and the images are those of the sweep."""
        from dermtune.following import make_ready

        why = sight.lacking(trials)
        try:
            for trial in trials if why is None and sight.data is not None else ():
                make_ready(trial, place)
        except DataError as error:
            why = f"has other images: {' '.join(str(error).split())}"
        return None if why is None else (this_node(), why)

    def make_ready(self, trial: Trial, place: Place) -> None:
        """Load what takes time, so that no process waits long for another one inside the group."""
        from dermtune.following import make_ready

        make_ready(trial, place)

    def follow(self, trial: Trial, place: Place, checkpoint: Path, micro_batch: int | None, **joining: Any) -> None:
        """Train the trial with the others, to its end; `joining` says how to find them."""
        from dermtune.following import follow

        follow(trial, place, checkpoint, micro_batch, address=get_node_ip_address(), **joining)


@contextlib.contextmanager
def _actors(n: int, cpus: float, gpus: float) -> Iterator[list[Any]]:
    """So many further processes, each in a bundle of its own behind that of this worker.

    Those whose trial has ended well are kept for the worker's next one: to load torch takes seconds.
    """
    others, _kept[:] = _kept[:] or _started(n, cpus, gpus), []
    try:
        yield others
    except BaseException:
        _end(others)
        raise
    _kept[:] = others


_kept: list[Any] = []
"""The further processes of this worker while it is between two trials, which all have as many."""


def _started(n: int, cpus: float, gpus: float) -> list[Any]:
    group = cast(PlacementGroup, get_current_placement_group())
    actor = ray.remote(num_cpus=cpus, num_gpus=gpus)(_Other)
    return [
        actor.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, index)).remote()
        for index in range(1, n + 1)
    ]


def _end(others: Sequence[Any]) -> None:
    for other in others:
        ray.kill(other)


def _wait_for(others: list[Any], ends: list[Any]) -> None:
    """Wait until the others are done, too: one that is not in time holds no trial whose outcome is here.

    Where one is not, or did not end well, none of them is left in `others`.
    """
    ended, late = ray.wait(ends, num_returns=len(ends), timeout=STUCK)
    if late or _errors(ended):
        _end(others)
        others.clear()


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
        self._cause: Exception | None = None
        self._is_settled = False
        self._thread = threading.Thread(target=self._listen, name="crew", daemon=True)
        self._thread.start()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.settle(error)
        self._over.set()
        if self._cause is not None:
            raise self._cause from error

    def settle(self, error: BaseException | None) -> None:
        """Find out, once and while the others live, whether the error is our own or came of another process's."""
        if self._is_settled:
            return
        self._is_settled = True
        if not isinstance(error, RuntimeError) or lacks_memory(error):
            return  # this process's own affair
        if self._failed.wait(STUCK if _is_broken(error) else GRACE):
            self._cause = self._error
        elif _is_broken(error):
            self._cause = LostProcess(f"the trial's processes have lost each other: {error}")

    def _listen(self) -> None:
        """Until one has failed; of those that fail with it the first is heard that has a reason of its own."""
        waiting = self._ends
        failed: list[Exception] = []
        while waiting and not failed and not self._over.is_set():
            ended, waiting = ray.wait(waiting, num_returns=1, timeout=0.5)
            failed = _errors(ended)
        if failed:
            ended, _ = ray.wait(self._ends, num_returns=len(self._ends), timeout=1.0)
            self._error = next((e for e in _errors(ended) if not isinstance(e, LostProcess)), failed[0])
            self._failed.set()
            self._break_off()

    def _break_off(self) -> None:
        """End the wait of a worker that has not noticed by itself, and the worker where even that does not help."""
        if not self._over.wait(GRACE):
            _end(self._others)
            if not self._over.wait(STUCK):
                os.kill(os.getpid(), signal.SIGKILL)


def _errors(ended: Sequence[Any]) -> list[Exception]:
    """What those raised that have ended."""
    errors: list[Exception] = []
    for end in ended:
        try:
            with _heard():
                ray.get(end)
        except Exception as error:  # noqa: BLE001 - it is raised by the one that waits
            errors.append(LostProcess(str(error)) if _is_broken(error) else error)
    return errors


def _is_broken(error: BaseException) -> bool:
    """Whether the error says no more than that another process has left the group."""
    said = str(error).lower()
    return isinstance(error, RuntimeError) and not lacks_memory(error) and any(word in said for word in _BROKEN)
