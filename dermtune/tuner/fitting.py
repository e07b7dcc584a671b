"""How many trials fit on the nodes of a cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dermtune.config import UserError

Node = Mapping[str, float]
"""What a node has, taken or not, in Ray's words: `CPU`, `GPU`."""


class TunerError(UserError):
    """Trials that cannot be run here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one trial asks of a cluster."""

    cpus: float
    """Cores of all its processes, dealt out evenly, as GPUs are."""
    gpus: float | None
    """None takes one for each process where there are any."""
    processes: int = 1
    """Each runs on one node."""
    on_one_node: bool = False
    """They all run on the same one, which alone has the trial's checkpoint."""

    def gpus_of(self, nodes: Sequence[Node]) -> float:
        """GPUs of one trial, said or found."""
        if self.gpus is not None:
            return self.gpus
        return float(self.processes * any(node.get("GPU", 0) >= 1 for node in nodes))

    def at_once(self, nodes: Sequence[Node]) -> int:
        """How many such trials the nodes run at once."""
        gpus = self.gpus_of(nodes) / self.processes
        fitting = [_processes(node, self.cpus / self.processes, gpus) for node in nodes]
        if self.on_one_node:
            return sum(n // self.processes for n in fitting)
        return sum(fitting) // self.processes

    def fitted(self, nodes: Sequence[Node]) -> "Asked":
        """The same, with GPUs as these nodes have them. Raises TunerError where they cannot run one trial."""
        found = replace(self, gpus=self.gpus_of(nodes))
        if found.at_once(nodes):
            return found
        have = "; ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise TunerError(
            f"{self._must()} {self.cpus:g} CPUs and {found.gpus:g} GPUs, the nodes have {have}; "
            "see --cpus-per-trial and --gpus-per-trial"
        )

    def _must(self) -> str:
        if self.processes == 1:
            return "a trial must fit on one node: it asks for"
        if self.on_one_node:
            return f"the {self.processes} processes of a trial must fit on one node with --storage, it asks for"
        return f"the {self.processes} processes of a trial must each fit on a node, it asks for"


def _processes(node: Node, cpus: float, gpus: float) -> int:
    """Processes of so many cores and GPUs that a node runs at once; a part of a GPU is a part of one."""
    fitting = []
    if cpus:
        fitting.append(_times(node.get("CPU", 0), cpus))
    if gpus >= 1:
        fitting.append(_times(node.get("GPU", 0), gpus))
    elif gpus:
        fitting.append(int(node.get("GPU", 0)) * _times(1, gpus))
    return min(fitting)


def _times(whole: float, part: float) -> int:
    return int(whole / part + 1e-9)  # three of a third are a whole
