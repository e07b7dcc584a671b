"""Signals that end a sweep in order, whatever it is at: left at once where that is safe, noted where it is not."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Ctrl-C; `kill` and schedulers; a terminal that is closed; SLURM's warning before the time is up."""


class Stopped(BaseException):
    """Leaves whatever the main thread is at. No Exception: nothing on the way may take it for an error."""


class Signals:
    """Which signal came, and what the next one does.

    The first raises Stopped, or is noted in a block that is `held`. After it a SIGINT raises Stopped everywhere,
    and one more kills; the others are not heard again: who sends them to a group and to its leader sends them
    twice. What was ignored when the sweep started (`nohup`, `&` in a script) stays so.
    """

    def __init__(self) -> None:
        self.came: int | None = None
        """The first one's number."""
        self.hurried = False
        """A second SIGINT came: what can be made up for later is left."""
        self._held = False

    @property
    def name(self) -> str:
        """As in `SIGTERM`; what came first. Raises ValueError where none came."""
        return signal.Signals(self.came or 0).name

    @property
    def exit_code(self) -> int:
        """As a shell counts: 128 and the number."""
        return 128 + (self.came or 0)

    def listen(self) -> None:
        """Hear them from now on; others may have set handlers of their own. Only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, self._hear)

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """They are heard in this block, and by those who heard them before after it."""
        before = {number: signal.getsignal(number) for number in STOPPING}
        self.listen()
        try:
            yield
        finally:
            if threading.current_thread() is threading.main_thread():
                for number, handler in before.items():
                    signal.signal(number, handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """In this block the first is noted alone: the block looks at `came` where it can be left."""
        with self.heard():
            self._held = True
            try:
                yield
            finally:
                self._held = False

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _forget_closed_terminal()
        if self.came is None:
            self.came = number
            if not self._held:
                raise Stopped
        elif number == signal.SIGINT:
            self.hurried = True
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            raise Stopped


def _forget_closed_terminal() -> None:
    """Send what is still said nowhere: to write to a terminal that is gone is an error."""
    for stream in (1, 2):
        try:
            os.write(stream, b"")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream)
            os.close(nowhere)
