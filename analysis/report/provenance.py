"""How the runs were made, as a person reads it."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from analysis.records import Report
from analysis.words import count, hours, usd


def _spent(spent: Mapping[str, Any]) -> str:
    """`12.40 hours in 84 attempts, $29.76; 1.20 hours, $2.88 of it came to nothing`."""
    attempts = f"{hours(spent['hours'])} in {count(spent['attempts'], 'attempt')}{_dollars(spent['cost_usd'])}"
    lost = f"{hours(spent['lost_hours'])}{_dollars(spent['lost_cost_usd'])}"
    return f"{attempts}; {lost} of it came to nothing" if spent["lost_hours"] else attempts


def _dollars(value: float | None) -> str:
    return "" if value is None else f", {usd(value)}"


_SHOWN: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "command": ("made anew by", lambda value: f"{value} (where that lies)"),
    "commit": ("commit", str),
    "data_fingerprint": ("data", lambda value: f"sha256 {value}"),
    "versions": ("versions", lambda value: ", ".join(f"{k} {v}" for k, v in value.items() if v)),
    "device": ("device", str),
    "hours": ("training time", lambda value: f"{value:.2f} hours"),
    "cost_usd": ("cost", lambda value: f"${value:,.2f}"),
    "spent": ("spent in all", _spent),
    "files": ("files", lambda value: count(len(value), "file") if isinstance(value, list | tuple) else str(value)),
}


def with_command(report: Report, *words: str) -> Report:
    """The report with the command that makes it anew, from the folder that its source lies in."""
    command = shlex.join(("python", "-m", "analysis.significance", *words))
    return replace(report, provenance={**report.provenance, "command": command})


def provenance_rows(provenance: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Label and text of each thing that is known; what has no name here is shown under its own."""
    return tuple(
        (label, said(value))
        for key, value in provenance.items()
        for label, said in (_SHOWN.get(key, (key.replace("_", " "), str)),)
    )
