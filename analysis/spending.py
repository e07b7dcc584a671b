"""What a sweep has cost: every attempt at its trials, as their folders say, whatever came of it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


class SpendingError(ValueError):
    """What a trial's attempts took cannot be read; the message says which file must hold what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What trials have cost over all starts, each attempt at the price at which it was made."""

    attempts: int = 0
    """How often a trial was begun or taken up again."""
    hours: float = 0.0
    """GPU hours, or a trial's hours where it has no GPU."""
    cost_usd: float | None = None
    """Of the attempts with a price; None where none has one."""
    lost_hours: float = 0.0
    """Of the hours, those of trials without a result, and what a kill threw away of others."""
    lost_cost_usd: float | None = None

    def __add__(self, other: "Spending") -> "Spending":
        return Spending(
            attempts=self.attempts + other.attempts,
            hours=self.hours + other.hours,
            cost_usd=_plus(self.cost_usd, other.cost_usd),
            lost_hours=self.lost_hours + other.lost_hours,
            lost_cost_usd=_plus(self.lost_cost_usd, other.lost_cost_usd),
        )

    def rounded(self) -> dict[str, Any]:
        """As a report holds it; fourth decimals of an hour are a third of a second."""
        return {key: None if value is None else round(value, 4) for key, value in asdict(self).items()}


def spending(folders: Iterable[Path]) -> Spending | None:
    """What the trials in these folders have cost; None where no attempt was metered.

    A trial from before attempts were metered counts what its manifest says. Raises SpendingError.
    """
    listed = tuple(folders)
    if not any((folder / "attempts.json").exists() for folder in listed):
        return None
    return sum(map(_of_trial, listed), Spending())


def _of_trial(folder: Path) -> Spending:
    path = folder / "attempts.json"
    try:
        attempts = json.loads(path.read_text(encoding="utf-8"))["attempts"]
        return _of_attempts(attempts)
    except FileNotFoundError:
        return _of_manifest(folder / "manifest.json")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpendingError(f"{path} must hold what the trial's attempts took: {error}") from None


def _of_attempts(attempts: Sequence[dict[str, Any]]) -> Spending:
    failed = bool(attempts) and attempts[-1]["ended"] in ("failed", "diverged")
    return sum((_of_attempt(attempt, kept=not failed) for attempt in attempts), Spending())


def _of_attempt(attempt: dict[str, Any], *, kept: bool) -> Spending:
    price, charged = attempt["usd_per_hour"], (attempt["gpus"] or 1) / 3600
    hours = attempt["seconds"] * charged
    lost = (attempt["seconds"] - attempt["kept_seconds"]) * charged if kept else hours
    return Spending(
        attempts=1,
        hours=hours,
        cost_usd=None if price is None else price * hours,
        lost_hours=lost,
        lost_cost_usd=None if price is None else price * lost,
    )


def _of_manifest(path: Path) -> Spending:
    """One attempt that took what the manifest says; nothing where there is none."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        hours = (manifest.get("seconds") or 0.0) * (manifest.get("gpus") or 1) / 3600
        return Spending(attempts=1, hours=hours, cost_usd=manifest.get("cost_usd"))
    except (OSError, ValueError, AttributeError, TypeError):
        return Spending()


def _plus(one: float | None, other: float | None) -> float | None:
    return other if one is None else one + (other or 0.0)
