"""How much work Python does: counted, not timed, so that it is the same on every machine under any load."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def steps(work: Callable[[], Any]) -> int:
    """How many instructions the interpreter carries out; what C does in one of them counts as one."""
    counted, before = 0, sys.gettrace()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal counted
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counted += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return counted


def growth(of: Callable[[int], Callable[[], Any]], small: int, large: int) -> float:
    """How many times the work takes for the large number, over how many times larger that is: 1 is in proportion.

    `of` makes the work ready for a number of things; what that takes does not count.
    """
    return steps(of(large)) / steps(of(small)) / (large / small)
