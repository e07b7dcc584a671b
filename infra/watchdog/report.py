"""What came of a watched machine: how it ended, what was saved, what it cost, and what is left running."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from analysis.words import amount, count, listed, usd
from dermtune.room import amount as size
from infra.watchdog.checking import Check
from infra.watchdog.journal import Charge
from infra.watchdog.machine import Machine
from infra.watchdog.standing import Standing
from infra.watchdog.state import Reason, State

CONSOLE_URL = "https://console.runpod.io"
"""Where a person ends a machine by hand."""
FORMAT = 1

REASONS: Mapping[Reason, str] = {
    "finished": "the sweep's end",
    "idle": "the idle limit: no sweep had run, or nothing had changed, for that long",
    "deadline": "the deadline",
    "cap": "the dollar cap",
    "asked": "your word",
    "abandoned": "your word, its results given up",
    "lost": "itself or its provider: it went away while it was watched",
}
AS_WISHED: tuple[Reason, ...] = ("finished", "asked")
"""Ends that no limit forced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that is to be known of a machine that is watched no longer."""

    charge: Charge
    check: Check | None
    """The last comparison; None where none was possible."""
    standing: Standing | None
    others: Sequence[Machine] | None
    """Machines of ours that run and that nobody watches; None where the provider did not say."""
    now: float

    @property
    def state(self) -> State:
        """What was known of it at last."""
        return self.charge.state

    @property
    def is_gone(self) -> bool:
        """Whether it costs nothing any more."""
        return self.state.phase == "gone"

    @property
    def until(self) -> float:
        """When it was first missed, now where it is still there; seconds since 1970."""
        since = self.state.absent_since
        return since if self.is_gone and since is not None else self.now

    @property
    def exit_code(self) -> int:
        """0 gone with all results safe, 1 gone by a limit or with a loss, 3 still running."""
        if not self.is_gone:
            return 3
        whole = self.state.safe and self.check is not None and not self.check.damaged
        return 0 if whole and self.state.reason in AS_WISHED else 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        state, rent = self.state, self.state.rent
        return {
            "format": FORMAT,
            "machine_id": self.charge.machine_id,
            "name": self.charge.name,
            "provider": self.charge.api_url,
            "gone": self.is_gone,
            "safe": state.safe,
            "ended_by": state.reason,
            "forced_by": state.forced,
            "since": _moment(rent.since),
            "until": _moment(self.until),
            "hours": rent.hours(self.until),
            "usd": rent.usd(self.until),
            "usd_per_hour": rent.usd_per_hour,
            "pulled": _moment(state.pulled),
            "into": self.charge.place.into,
            "trials": None if self.standing is None else self.standing.to_dict(),
            "check": None if self.check is None else self.check.to_dict(),
            "left_running": None if self.others is None else [{"id": m.id, "name": m.name} for m in self.others],
            "exit_code": self.exit_code,
        }


def print_report(report: Report, console: Console) -> None:
    """Print it, a line a question; what is bad comes last, where it is read."""
    for label, text in _lines(report):
        line = Text.assemble((f"{label:<13}", "dim"), text)
        console.print(line, soft_wrap=True, highlight=False)
    for text in alarms(report):
        console.print(Text(f"! {text}", style="bold red"), soft_wrap=True, highlight=False)


def _lines(report: Report) -> Iterator[tuple[str, str]]:
    state, rent = report.state, report.state.rent
    yield "machine", f"{title(report.charge)}: {'gone' if report.is_gone else 'STILL RUNNING'}"
    if state.reason is not None:
        yield "ended by" if report.is_gone else "to end by", REASONS[state.reason]
    yield "results", _results(report)
    yield "are in", report.charge.place.into
    cost = (
        ""
        if rent.usd_per_hour is None
        else f", {usd(rent.usd(report.until) or 0.0)} at {usd(rent.usd_per_hour)} an hour"
    )
    yield "spent", f"{amount(rent.hours(report.until))} hours{cost}; the provider's bill is what counts"
    yield "left running", _others(report.others)


def _results(report: Report) -> str:
    check = report.check
    trials = "" if report.standing is None else f"; {report.standing}"
    if check is None:
        return f"NOT SAFE: nothing could be compared, what was pulled before is here{trials}"
    what = f"{count(check.n_files, 'file')}, {size(check.n_bytes)}{trials}"
    how = "every sha256 compared" if check.by == "sha256" else "sizes compared"
    n_bad = len(check.missing) + len(check.different)
    state = "safe" if report.state.safe else f"NOT SAFE, {n_bad} missing or different" if n_bad else "NOT SAFE"
    return f"{state}: {how}, {what}"


def _others(others: Sequence[Machine] | None) -> str:
    if others is None:
        return "not known: the provider did not answer"
    return (
        listed([f"{machine.name} ({machine.id})" for machine in others], at_most=10)
        if others
        else "nothing else of ours"
    )


def alarms(report: Report) -> Iterator[str]:
    """What must not be overlooked, a sentence each."""
    state, check = report.state, report.check
    if not report.is_gone:
        yield shout(report.charge)
    if state.forced is not None:
        yield f"Ended by {REASONS[state.forced]} before its results were safe."
    if report.is_gone and not state.safe:
        yield f"Not everything was saved: {_unsafe(check)}."
    if check is not None and check.damaged:
        trials = listed([f"{trial_id}: {why}" for trial_id, why in check.damaged.items()], at_most=5)
        yield f"Damaged trials, the sweep's command runs them again: {trials}."
    if report.others:
        yield "Machines run that nobody watches: python -m infra.watchdog orphans"


def shout(charge: Charge) -> str:
    """That the machine costs money, and where a person ends it."""
    goes_on = charge.state.phase == "terminating"
    return (
        f"{title(charge)} STILL RUNS AND IS BILLED. End it by hand: {CONSOLE_URL}"
        f"{', its end is asked for on and on.' if goes_on else ', or give the same command again.'}"
    )


def title(charge: Charge) -> str:
    """The machine as a person knows it."""
    return f"{charge.name or 'machine'} ({charge.machine_id})"


def _unsafe(check: Check | None) -> str:
    if check is None:
        return "what lay there could not be listed at the end"
    bad = [*check.missing, *check.different]
    return listed(bad, at_most=5) if bad else "what has changed since the last comparison, if anything has"


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
