"""What of this machine rules how long a step takes, told without torch, which takes seconds to load."""

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

DEVICES = Path("/dev")
GPU_RECORDS = Path("/proc/driver/nvidia/gpus")
PROCESSORS = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine's means to train."""

    processor: str
    cores: int
    """That this process may use."""
    gpus: tuple[str, ...] = ()
    """Names of those that it may see."""

    def beside(self, cpus: float, gpus: float, most: int) -> int:
        """How many trials of so many cores and GPUs run side by side, one at least and `most` at most."""
        room = self.cores / cpus
        if gpus:
            room = min(room, len(self.gpus) / gpus)
        return max(1, min(int(room), most))


def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(processor=_processor(), cores=_cores(), gpus=_gpus())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", PROCESSORS.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


def _gpus() -> tuple[str, ...]:
    """NVIDIA's, as the driver lists them; those that CUDA_VISIBLE_DEVICES hides are not there."""
    n_devices = sum(bool(re.fullmatch(r"nvidia\d+", path.name)) for path in DEVICES.glob("nvidia*"))
    names = sorted(_model(path) for path in GPU_RECORDS.glob("*/information"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        shown = [device for device in visible.split(",") if device.strip() not in ("", "-1")]
        n_devices = min(n_devices, len(shown))
    return (*names, *["NVIDIA"] * n_devices)[:n_devices]


def _model(record: Path) -> str:
    try:
        found = re.search(r"^Model:\s*(.+)$", record.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else "NVIDIA"
