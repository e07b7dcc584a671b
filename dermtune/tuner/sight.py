"""In the worker: whether this node has what trials need, before any of them is begun."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray
from ray import tune

from dermtune.depot import Depot, DepotError
from dermtune.plan import Trial

LOOKS_AGAIN = 5.0
"""Seconds until a node that lacks something is looked at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What every node must see, the driver's folders at the same paths; by default nothing is asked."""

    folder: Path | None = None
    """One that the driver made in the sweep's folder for this start; None where a storage takes its place."""
    data: Path | None = None
    """Images; None where the driver has none itself."""
    depot: Depot | None = None

    def lacking(self, trials: Sequence[Trial]) -> str | None:
        """What this node lacks for these trials, a clause with what to do; None where it has all."""
        if self.folder is not None and not self.folder.is_dir():
            return f"does not see the sweep's folder {self.folder.parent}: mount it there, or use --storage"
        drawn = all(trial.config.data.synthetic is not None for trial in trials)
        if self.data is not None and not drawn and not self.data.is_dir():
            return f"does not see the images {self.data}: mount or copy them there, at the same path"
        if self.depot is not None:
            try:
                self.depot.knock()
            except DepotError as error:
                return f"cannot use the storage: {error}"
        return None


EVERYTHING = Sight()
"""Of a sweep on one machine: nothing can be out of sight."""


def this_node() -> str:
    """Its address and its name."""
    return f"{ray.util.get_node_ip_address()} ({platform.node()})"


def hand_back(node: str, why: str) -> None:
    """Have the driver give this slot's trials to another, and tell what the node lacks."""
    tune.report({"event": "handed back", "node": node, "why": why})


def hold(is_lacking: Callable[[], object]) -> None:
    """Keep this slot from taking trials as long as its node lacks something, or until the sweep ends."""
    while is_lacking():
        time.sleep(LOOKS_AGAIN)
