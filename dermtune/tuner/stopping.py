"""How a signal ends a sweep: Tune's loop is left, and Ray with it; each trial's last whole checkpoint stays."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from ray import tune
from typing_extensions import override


class Stopped(BaseException):
    """Leaves Tune's loop between two of its steps. No Exception: Tune would wait ten seconds for its workers."""


class Stop(tune.Stopper):
    """Ends the sweep as soon as a signal came."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @override
    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    @override
    def stop_all(self) -> bool:
        if self.signal is not None:
            raise Stopped
        return False


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """A stopper that the first SIGINT or SIGTERM sets, and that ends this block; a second SIGINT interrupts it."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python delivers signals to the main thread alone
        return

    def note(number: int, _frame: FrameType | None) -> None:
        stop.signal = number
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with contextlib.suppress(Stopped):
            yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
