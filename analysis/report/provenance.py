"""How the runs were made, as a person reads it."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from analysis.records import Report
from analysis.words import count

_SHOWN: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "command": ("made anew by", lambda value: f"{value} (where that lies)"),
    "commit": ("commit", str),
    "data_fingerprint": ("data", lambda value: f"sha256 {value}"),
    "versions": ("versions", lambda value: ", ".join(f"{k} {v}" for k, v in value.items() if v)),
    "device": ("device", str),
    "hours": ("training time", lambda value: f"{value:.2f} hours"),
    "cost_usd": ("cost", lambda value: f"${value:,.2f}"),
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
