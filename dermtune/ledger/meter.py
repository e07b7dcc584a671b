"""What a trial's attempts took: a clock that is written down every few seconds, so that no death hides a cost."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from dermtune.durable import read_json, write_json
from dermtune.ledger.lock import LedgerError

BEAT_SECONDS = 2.0
"""Time between two entries of a running attempt: what a kill can hide of it."""

FORMAT = 1

Ended = Literal["done", "failed", "diverged", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a trial, and what it took."""

    started: str | None
    """UTC, ISO 8601; None where nobody noted it."""
    seconds: float
    kept_seconds: float
    """Of these, those up to the last epoch that its checkpoint keeps; all of an attempt that ended the trial."""
    gpus: float
    usd_per_hour: float | None
    """Price of a GPU hour, or of the trial's hour where it has no GPU; None where none was given."""
    ended: Ended | None
    """None while it is under way, and where its worker was killed until the trial is taken up again."""

    @property
    def hours(self) -> float:
        """What it is charged: GPU hours, or hours of the trial where it has no GPU."""
        return self.seconds * (self.gpus or 1) / 3600

    @property
    def lost_hours(self) -> float:
        """Of these, those that left nothing behind."""
        return self.hours - self.kept_seconds * (self.gpus or 1) / 3600


class Meter:
    """The clock of one attempt. What cannot be written is written by a later beat: a full disk ends no training."""

    def __init__(
        self,
        path: Path,
        earlier: Iterable[Attempt],
        *,
        gpus: float,
        usd_per_hour: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A running clock whose readings go to `path`, behind the attempts before it."""
        self._path = path
        self._earlier = tuple(earlier)
        self._clock = clock
        self._began = clock()
        self._stopped: float | None = None
        self._attempt = Attempt(
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=0.0,
            kept_seconds=0.0,
            gpus=gpus,
            usd_per_hour=usd_per_hour,
            ended=None,
        )
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="meter", daemon=True)
        self._write()
        self._thread.start()

    def keep(self) -> None:
        """An epoch has its checkpoint: what was trained so far outlasts a kill."""
        self._attempt = replace(self._attempt, kept_seconds=self._seconds())
        self._write()

    def stop(self) -> tuple[Attempt, ...]:
        """All attempts at the trial, this one's clock standing from now on."""
        self._stopped = self._clock() if self._stopped is None else self._stopped
        return self._attempts()

    def end(self, how: Ended) -> None:
        """Write the last entry."""
        self.stop()
        kept = self._seconds() if how == "done" else self._attempt.kept_seconds
        self._attempt = replace(self._attempt, ended=how, kept_seconds=kept)
        self._ended.set()
        self._thread.join()
        self._write()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            self._write()

    def _write(self) -> None:
        with self._writing, contextlib.suppress(OSError):  # the next beat says it all
            write_attempts(self._path, self._attempts())

    def _attempts(self) -> tuple[Attempt, ...]:
        return (*self._earlier, replace(self._attempt, seconds=self._seconds()))

    def _seconds(self) -> float:
        now = self._clock() if self._stopped is None else self._stopped
        return round(now - self._began, 3)


def read_attempts(path: Path) -> tuple[Attempt, ...]:
    """A file's attempts, oldest first. Raises FileNotFoundError, and LedgerError where it holds anything else."""
    try:
        return attempts_of(read_json(path))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LedgerError(
            f"{path} must hold what the trial's attempts took: {error}; move it away to go on without it"
        ) from None


def attempts_of(account: Mapping[str, Any]) -> tuple[Attempt, ...]:
    """The attempts that an account's JSON lists. Raises KeyError, TypeError where it is none."""
    return tuple(Attempt(**entry) for entry in account["attempts"])


def account_of(attempts: Iterable[Attempt]) -> dict[str, Any]:
    """The account's JSON."""
    return {"format": FORMAT, "attempts": [asdict(attempt) for attempt in attempts]}


def merged(*accounts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """All attempts at one trial that any of its accounts knows, oldest first; of one that many know, the most."""
    known: dict[str, Attempt] = {}
    unknown: list[Attempt] = []
    for attempt in itertools.chain(*accounts):
        if attempt.started is None:  # from before they were metered: every account has it
            unknown = unknown or [attempt]
        else:
            known[attempt.started] = _longer(known.get(attempt.started, attempt), attempt)
    return (*unknown, *(known[started] for started in sorted(known)))


def _longer(one: Attempt, other: Attempt) -> Attempt:
    """Of two accounts of one attempt the longer, with its end if either knows it: who was cut off never says."""
    longer = other if other.seconds >= one.seconds else one
    return replace(longer, ended=longer.ended or one.ended or other.ended)


def write_attempts(path: Path, attempts: Sequence[Attempt]) -> None:
    """Write the attempts, whole or not at all."""
    write_json(path, account_of(attempts))


def closed(attempts: Iterable[Attempt], *, kept: bool) -> tuple[Attempt, ...]:
    """The attempts as the next one finds them: none is under way, and without a checkpoint nothing is kept."""
    return tuple(
        replace(
            attempt,
            ended=attempt.ended or "interrupted",
            kept_seconds=attempt.kept_seconds if kept else 0.0,
        )
        for attempt in attempts
    )


def unmetered(about: Mapping[str, Any], *, ended: Ended) -> tuple[Attempt, ...]:
    """What a manifest, or a history's sum, says of attempts that nobody metered; none where it says nothing."""
    seconds, cost = float(about.get("seconds") or 0.0), about.get("cost_usd")
    if not seconds:
        return ()
    attempt = Attempt(
        started=None,
        seconds=seconds,
        kept_seconds=seconds,
        gpus=float(about.get("gpus") or 0.0),
        usd_per_hour=None if cost is None else float(cost) * 3600 / seconds,
        ended=ended,
    )
    return (attempt,)


def bill(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """What a manifest says of them: `seconds`, `cost_usd`, `attempts`. Without any price the cost is None."""
    costs = [attempt.hours * attempt.usd_per_hour for attempt in attempts if attempt.usd_per_hour is not None]
    return {
        "seconds": round(sum(attempt.seconds for attempt in attempts), 3),
        "cost_usd": sum(costs) if costs else None,
        "attempts": len(attempts),
    }
