"""What machines trials run on, and what one trial has of them."""

from dataclasses import dataclass

from dermtune.depot import Depot


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """A Ray that runs already, or this machine, and a trial's part of it."""

    cpus: float = 1
    """Cores of one trial; torch has as many threads, at least one."""
    gpus: float | None = None
    """GPUs of one trial; None takes one where there is any, of several processes one each."""
    processes: int = 1
    """That train one trial together, with a like part of its cores and GPUs each."""
    address: str | None = None
    """A running Ray cluster; None starts a local one and stops it again."""
    depot: Depot | None = None
    """By what way results come from nodes that do not see the folder."""
    minutes_to_wait: float = 0.0
    """How long at most for a node that a trial fits on."""
    usd_per_hour: float | None = None
    """Price of an hour, for the manifests."""


HERE = Machines()
"""This one, of which a trial has a core, and a GPU where there is any."""
