"""What is shown while a machine is watched: a few lines that stay in a terminal, a line now and then elsewhere."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from analysis.words import amount, usd
from dermtune.progress import duration
from dermtune.validation import UserError
from infra.watchdog.decision import patience
from infra.watchdog.journal import Charge
from infra.watchdog.limits import strikes
from infra.watchdog.machine import ProviderError
from infra.watchdog.remote import RemoteError
from infra.watchdog.report import title
from infra.watchdog.standing import Standing
from infra.watchdog.state import Reason

EVERY = 300.0
"""Seconds between two lines in a log where nothing has changed."""

WHY: dict[Reason, str] = {
    "finished": "the sweep is over",
    "idle": "nothing happens on it",
    "deadline": "the deadline is near",
    "cap": "the dollar cap is near",
    "asked": "as you asked",
    "abandoned": "as you asked, without its results",
    "lost": "it went away",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What one look has shown."""

    charge: Charge
    standing: Standing | None
    driver: bool | None
    """Whether a sweep runs; None where the machine did not answer."""
    now: float


class View:
    """Shows glances, and says what must be read."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=2, transient=True) if console.is_terminal else None
        self._last: tuple[object, ...] = ()
        self._when = 0.0
        self._warned: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def said(self, text: str, style: str = "") -> None:
        """Print a line that stays."""
        self._console.print(Text(text, style=style), soft_wrap=True, highlight=False)

    def warned(self, text: str) -> None:
        """Print what goes wrong; again after a while, where it still does."""
        now = time.monotonic()
        if now - self._warned.get(text, -EVERY) >= EVERY:
            self._warned[text] = now
            self.said(f"! {text}", "bold yellow")

    def failed(self, error: Exception) -> None:
        """Print what went wrong; a fault that nobody foresaw with its kind."""
        known = isinstance(error, (RemoteError, ProviderError, UserError, OSError))
        self.warned(str(error) if known else f"a fault of the watchdog's own, it goes on: {error!r}")

    def shows(self, glance: Glance) -> None:
        """Show it; in a log only what is new, or after a while."""
        if self._live:
            self._live.update(_table(glance))
            return
        state = glance.charge.state
        key = (state.phase, state.reason, glance.driver, glance.standing)
        if key != self._last or glance.now - self._when >= EVERY:
            self._last, self._when = key, glance.now
            self.said("; ".join(f"{label} {text}" for label, text in told(glance)))


def told(glance: Glance) -> Iterator[tuple[str, str]]:
    """Label and text of each line."""
    charge, state, limits = glance.charge, glance.charge.state, glance.charge.limits
    yield title(charge), _doing(glance)
    if glance.standing is not None:
        yield "sweep", str(glance.standing)
    yield "spent", _spent(glance)
    at, limit = strikes(limits, state.rent)
    left = at - glance.now
    yield limit, f"in {duration(left)}" if left > 0 else f"{duration(-left)} ago"
    yield "pulled", "nothing yet" if state.pulled is None else f"{duration(glance.now - state.pulled)} ago"
    if glance.driver is not None and state.phase == "watching":
        idle = f"{duration(max(0.0, glance.now - state.active))} of {duration(patience(state, limits))}"
        yield ("quiet" if state.begun else "no sweep yet"), idle


def _doing(glance: Glance) -> str:
    state = glance.charge.state
    runs = {True: "a sweep runs", False: "no sweep runs", None: "the machine does not answer"}[glance.driver]
    if state.phase == "watching":
        return runs
    why = "" if state.reason is None else f": {WHY[state.reason]}"
    if state.phase == "ending":
        return f"ending{why}; {runs}, results are made safe"
    return f"{state.phase}{why}"


def _spent(glance: Glance) -> str:
    rent, cap = glance.charge.state.rent, glance.charge.limits.max_usd
    hours = f"{amount(rent.hours(glance.now))} hours"
    dollars = rent.usd(glance.now)
    if dollars is None:
        return hours
    return f"{usd(dollars)}{'' if cap is None else f' of {usd(cap)}'}, {hours}"


def _table(glance: Glance) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for label, text in told(glance):
        table.add_row(Text(label, style="dim"), Text(text))
    return table
