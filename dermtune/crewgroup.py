"""The group of processes that train one trial, by torch.distributed: how one is joined, and what it agrees on."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import torch
import torch.distributed as dist
from accelerate.state import AcceleratorState

from dermtune.crew import Crew

LOOPBACK = "127.0.0.1"
PATIENCE = timedelta(minutes=30)
"""For what others do, evaluate or write a checkpoint, say. That one of them has died is noticed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Where a crew meets: an address of the machine that its first process is on."""

    host: str
    port: int


@contextlib.contextmanager
def called(host: str) -> Iterator[tuple[Meeting, int]]:
    """A meeting at a free port of `host`, of no other address there, and what listens to it for `joined`."""
    with socket.create_server((host, 0)) as listening:
        yield Meeting(host=host, port=listening.getsockname()[1]), listening.fileno()


@contextlib.contextmanager
def joined(
    crew: Crew, meeting: Meeting, *, address: str, threads: int, listening: int | None = None
) -> Iterator[None]:
    """Inside, this process is one of the group, and transformers' Trainer trains as such.

    `address` is the one at which other machines of the crew find this one, `listening` what the first process has
    from `called`. Gradients go over NCCL between GPUs, else over gloo.
    """
    with _environment(_told(crew, threads) | _interfaces(address)):
        store = dist.TCPStore(  # type: ignore[attr-defined]  # documented, and not in its `__all__`
            meeting.host,
            meeting.port,
            is_master=crew.rank == 0,
            timeout=PATIENCE,
            wait_for_workers=False,
            master_listen_fd=None if listening is None else os.dup(listening),
        )
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=crew.rank, world_size=crew.processes, timeout=PATIENCE)
        try:
            yield
        finally:
            dist.destroy_process_group()
            AcceleratorState._reset_state(reset_partial_state=True)


def agreed(crew: Crew, folder: Path, newest: Callable[[], Path | None]) -> Path | None:
    """The checkpoint of `folder` that the crew goes on from: the first process finds it, the others are told."""
    if crew.processes == 1:
        return newest()
    found = newest() if crew.rank == 0 else None
    step = torch.tensor(-1 if found is None else int(found.name.rpartition("-")[2]))
    dist.broadcast(step, src=0)  # a number: nothing that comes from a socket is unpickled
    return None if step < 0 else folder / f"checkpoint-{int(step)}"


def _told(crew: Crew, threads: int) -> dict[str, str]:
    """What accelerate reads. Each process sees the one GPU that it has, which is its first."""
    return {
        "RANK": str(crew.rank),
        "WORLD_SIZE": str(crew.processes),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": str(crew.processes),
        "OMP_NUM_THREADS": str(threads),  # else it sets one that suits nobody, and warns
    }


def _interfaces(address: str) -> dict[str, str]:
    """Through which network interface to talk: on one machine none but loopback.

    Left to itself gloo takes what the machine's own name stands for, which Debian has as 127.0.1.1. NCCL finds the
    fastest one by itself.
    """
    own = psutil.net_if_addrs().items()
    name = next((name for name, here in own if any(one.address == address for one in here)), None)
    if name is not None and address == LOOPBACK:
        return {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": name}
    if name is None or "GLOO_SOCKET_IFNAME" in os.environ:
        return {}
    return {"GLOO_SOCKET_IFNAME": name}


@contextlib.contextmanager
def _environment(told: Mapping[str, str]) -> Iterator[None]:
    """The environment with these, and as it was afterwards, whatever accelerate adds to it."""
    before = dict(os.environ)
    os.environ.update(told)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
