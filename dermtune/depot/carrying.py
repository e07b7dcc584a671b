"""A trial's way between the folder where it trains and a storage that other nodes and the driver see."""

import contextlib
import json
import shutil
from collections.abc import Callable, Container, Sequence

from dermtune.checkpoints import SEAL, newest_sealed, step_of
from dermtune.depot.parcels import Damaged, Depot, Parcel
from dermtune.depot.store import DepotError
from dermtune.ledger import (
    Attempt,
    LedgerError,
    SweepFolder,
    TrialFolder,
    attempts_of,
    merged,
    write_attempts,
    written_alone,
)


class Carrier:
    """Carries one attempt at a trial. Every method may raise DepotError but `epoch`, which says it and goes on."""

    def __init__(self, depot: Depot, trial: TrialFolder) -> None:
        """A carrier of what is in the folder, which is this process's alone."""
        self._depot = depot
        self._trial = trial
        self._is_delivered = False
        self._is_away = False

    def bring(self, on_notice: Callable[[str], None]) -> None:
        """Make the folder what the trial has come to anywhere: its result, else its latest epoch that is whole.

        What is not whole is removed: it would be counted among the epochs that are kept.
        """
        parcels = self._depot.parcels(self._trial.path.name)
        known = [attempts_at(self._trial), *(attempts_in(self._depot, parcel) for parcel in parcels)]
        for parcel in parcels:
            try:
                if self._take(parcel):
                    break
            except Damaged as error:
                on_notice(f"has sent what is not whole ({error}): what it sent before is used")
                self._depot.remove([parcel])
        if any(known):
            write_attempts(self._trial.attempts_file, merged(*known))

    def epoch(self, on_notice: Callable[[str], None]) -> None:
        """Send the epoch that has just ended. A storage that is away is waited for once, and then only asked."""
        try:
            self._depot.send_epoch(self._trial, patience=0.0 if self._is_away else None)
            self._is_away = False
        except DepotError as error:
            if not self._is_away:
                on_notice(f"could not send its epoch and goes on without: {error}")
            self._is_away = True

    def deliver(self) -> None:
        """Send the result, unless it is there."""
        if not self._is_delivered:
            self._depot.send_result(self._trial)
            self._is_delivered = True

    def _take(self, parcel: Parcel) -> bool:
        """Whether the folder is now at least as far as the parcel. Raises Damaged."""
        here = newest_sealed(self._trial.checkpoint)
        if self._trial.is_done():
            self._is_delivered = parcel.is_result
            return True
        if not parcel.is_result and here and step_of(here) >= parcel.step:
            return True
        names = [name for name in self._depot.listed(parcel) if name != "attempts.json"]
        last = [name for name in names if name.endswith(SEAL) or name == "manifest.json"]
        self._depot.fetch(parcel, [*(name for name in names if name not in last), *last], self._trial)
        self._is_delivered = parcel.is_result
        return True


def make_room(depot: Depot, folder: SweepFolder, trial_ids: Container[str]) -> None:
    """Remove from a node's folder the checkpoints of other trials than these, which no process here goes on with.

    Such a trial has gone on elsewhere, or has ended. One that could not send its last epoch keeps what it has.
    Raises DepotError.
    """
    sent = depot.all_parcels()
    others = [path for path in folder.path.glob("trials/*/checkpoint") if path.parent.name not in trial_ids]
    for trial in (TrialFolder(path.parent) for path in others):
        with contextlib.suppress(LedgerError, OSError):  # a process here has it, or removes it just now
            if not _is_ahead(trial, sent.get(trial.path.name, [])):
                with written_alone(trial.path, patience=0.0):
                    shutil.rmtree(trial.checkpoint)


def _is_ahead(trial: TrialFolder, parcels: Sequence[Parcel]) -> bool:
    """Whether a trial that is under way has come further here than it could send."""
    here = newest_sealed(trial.checkpoint)
    is_under_way = bool(parcels) and not parcels[0].is_result
    return here is not None and is_under_way and step_of(here) > parcels[0].step


def attempts_at(trial: TrialFolder) -> tuple[Attempt, ...]:
    """What is written down of it in the folder; a history that came from elsewhere is no account."""
    return trial.attempts() if trial.attempts_file.exists() else ()


def attempts_in(depot: Depot, parcel: Parcel) -> tuple[Attempt, ...]:
    """What the trial had taken when it sent this; none where it does not say. Raises DepotError."""
    try:
        account = depot.content(parcel, "attempts.json")
    except Damaged:
        return ()
    try:
        return attempts_of(json.loads(account))
    except (ValueError, KeyError, TypeError):
        return ()
