"""How the runs were made, as a person reads it."""

from collections.abc import Callable, Mapping
from typing import Any

from analysis.words import count

_SHOWN: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "commit": ("commit", str),
    "data_fingerprint": ("data", lambda value: f"sha256 {value}"),
    "versions": ("versions", lambda value: ", ".join(f"{k} {v}" for k, v in value.items() if v)),
    "device": ("device", str),
    "hours": ("training time", lambda value: f"{value:.2f} hours"),
    "cost_usd": ("cost", lambda value: f"${value:,.2f}"),
    "files": ("files", lambda value: count(len(value), "file") if isinstance(value, list | tuple) else str(value)),
}


def provenance_rows(provenance: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Label and text of each thing that is known; what has no name here is shown under its own."""
    return tuple(
        (label, said(value))
        for key, value in provenance.items()
        for label, said in (_SHOWN.get(key, (key.replace("_", " "), str)),)
    )
