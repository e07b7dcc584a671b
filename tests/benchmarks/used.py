"""Runs a module as a program and writes what it took; of the standard library alone, so that it adds nothing."""

import json
import re
import resource
import runpy
import sys
import time
from pathlib import Path


def main() -> None:
    """`python -m tests.benchmarks.used OUT MODULE ...`: CPU and wall seconds and MiB, as JSON in OUT."""
    out, module, *words = sys.argv[1:]
    sys.argv, began = [module, *words], time.perf_counter()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        taken = {"cpu": _cpu_seconds(), "wall": time.perf_counter() - began, "mib": peak_mib()}
        Path(out).write_text(json.dumps(taken))


def _cpu_seconds() -> float:
    """Of this process from its start, and of its children."""
    each = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in each)


def peak_mib() -> float:
    """The most resident memory that this process ever had; ru_maxrss would count its parent's."""
    (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kib) / 1024


if __name__ == "__main__":
    main()
