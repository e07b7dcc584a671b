"""One machine from the start of its watch to its report, which is kept in the journal and printed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from dermtune.durable import write_json
from infra.watchdog.arguments import Common
from infra.watchdog.journal import Charge, Journal
from infra.watchdog.machine import Machine, Provider
from infra.watchdog.orphans import orphans
from infra.watchdog.report import Report, print_report
from infra.watchdog.view import View
from infra.watchdog.watching import Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What every watch needs."""

    provider: Provider
    journal: Journal
    common: Common
    console: Console
    clock: Callable[[], float]
    json: Path | None = None
    """Where a report is written besides the journal."""
    sleep: Callable[[float], Any] = time.sleep


def guard(post: Post, charge: Charge, view: View) -> Report:
    """The report, after it was written and printed. The caller has the machine for itself.

    One that is told as still running is written and printed, too, while its end is asked for on and on.
    """

    def told(report: Report) -> Report:
        whole = replace(report, others=_others(post, charge.machine_id))
        _keep(post, whole)
        print_report(whole, post.console)
        return whole

    with view:
        clock, sleep = post.clock, post.sleep
        report = Watcher(charge, post.provider, post.journal, view, shout=told, clock=clock, sleep=sleep).run()
    return told(report)


def _others(post: Post, machine_id: str) -> Sequence[Machine] | None:
    try:
        found = orphans(post.provider, post.journal, post.common.prefix)
    except Exception:  # noqa: BLE001 what is left of the report is true all the same
        return None
    return [orphan.machine for orphan in found if orphan.machine is not None and orphan.machine_id != machine_id]


def _keep(post: Post, report: Report) -> None:
    """Write it down; a full disk is said, for the machine's fate does not hang on it."""
    try:
        if report.is_gone:
            post.journal.close(report.charge.machine_id, report.to_dict())
        if post.json:
            write_json(post.json, report.to_dict())
    except OSError as error:
        post.console.print(f"! the report cannot be written: {error}", style="bold yellow", markup=False)
