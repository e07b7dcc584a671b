"""In the driver: how what a trial leaves comes into the sweep's folder."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from typing_extensions import override

from dermtune.depot import Damaged, Depot, DepotError, attempts_at, collect
from dermtune.ledger import FailureStatus, Pruned, SweepFolder, attempts_of, merged, write_attempts
from dermtune.plan import Trial


class Receiver:
    """Nothing has to come: workers write to the sweep's folder."""

    def __init__(self, folder: SweepFolder) -> None:
        self._folder = folder

    def leave_off_when(self, is_over: Callable[[], bool]) -> None:
        """From now on wait for nothing once that is so."""

    def epoch(self, trial: Trial, row: Mapping[str, float]) -> None:
        """It has ended an epoch."""

    def spent(self, trial: Trial, account: Mapping[str, Any]) -> None:
        """It has taken so much."""

    def finished(self, trial: Trial) -> str | None:
        """Why its result is not in the folder, and what becomes of it; None where it is there."""

    def failed(self, trial: Trial, status: FailureStatus, reason: str, detail: str) -> None:
        """It has no result."""

    def prune(self, trial: Trial, pruned: Pruned) -> None:
        """It was stopped early. Raises OSError where that cannot be written."""
        self._folder.trial(trial.trial_id).prune(pruned)

    def has_epochs(self, trial: Trial) -> bool:
        """Whether it has a checkpoint to go on from, as far as that can be seen."""
        try:
            return self._folder.trial(trial.trial_id).epochs_kept() > 0
        except (OSError, ValueError):  # an exception here would end the sweep
            return False


class FromStorage(Receiver):
    """It comes by way of a storage; no worker needs to see the sweep's folder."""

    def __init__(self, folder: SweepFolder, depot: Depot) -> None:
        super().__init__(folder)
        self._depot = depot

    @override
    def leave_off_when(self, is_over: Callable[[], bool]) -> None:
        self._depot = self._depot.until(is_over)

    @override
    def epoch(self, trial: Trial, row: Mapping[str, float]) -> None:
        files = self._folder.trial(trial.trial_id)
        before = [r for r in files.history_rows() if float(r.get("epoch") or 0) < row["epoch"]]
        files.write_history([*before, row])

    @override
    def spent(self, trial: Trial, account: Mapping[str, Any]) -> None:
        files = self._folder.trial(trial.trial_id)
        if attempts := merged(attempts_at(files), attempts_of(account)):
            write_attempts(files.attempts_file, attempts)

    @override
    def finished(self, trial: Trial) -> str | None:
        files = self._folder.trial(trial.trial_id)
        if files.is_done():
            return None
        try:
            collect(self._depot, files)
        except DepotError as error:
            return f"{error}; the same command fetches it"
        except Damaged as damage:
            return f"{damage}; the same command trains it again"
        return None

    @override
    def failed(self, trial: Trial, status: FailureStatus, reason: str, detail: str) -> None:
        self._folder.trial(trial.trial_id).fail(status, reason, detail)

    @override
    def prune(self, trial: Trial, pruned: Pruned) -> None:
        super().prune(trial, pruned)
        with contextlib.suppress(DepotError):  # the next start removes it
            replace(self._depot, patience=0.0).forget(trial.trial_id)

    @override
    def has_epochs(self, trial: Trial) -> bool:
        try:
            return any(parcel.step for parcel in self._depot.parcels(trial.trial_id, patience=0.0))
        except DepotError:
            return False
