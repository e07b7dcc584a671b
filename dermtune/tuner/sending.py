"""In the worker: what of a trial must leave this node, where the sweep's folder is on another."""

from collections.abc import Callable
from typing import Any

from ray import tune

from dermtune.depot import Carrier, Depot
from dermtune.ledger import TrialFolder, account_of
from dermtune.plan import Trial


class Sender:
    """Sends what one attempt at a trial leaves in its folder; nothing where there is no storage."""

    def __init__(self, trial: Trial, folder: TrialFolder, depot: Depot | None, note: Callable[[str], None]) -> None:
        self._trial = trial
        self._folder = folder
        self._note = note
        self._carrier = None if depot is None else Carrier(depot, folder)

    def begin(self) -> None:
        """Bring what the trial has come to on any node. Raises DepotError."""
        if self._carrier is not None:
            self._carrier.bring(self._note)

    def epoch(self) -> None:
        """Send the epoch that has ended."""
        if self._carrier is not None:
            tune.report(spent(self._trial, self._folder))
            self._carrier.epoch(self._note)

    def end(self) -> None:
        """Send the result. Raises DepotError."""
        if self._carrier is not None:
            self._carrier.deliver()


def spent(trial: Trial, folder: TrialFolder) -> dict[str, Any]:
    """The event that tells what the trial has taken."""
    return {"event": "spent", "trial": trial.trial_id, "account": account_of(folder.attempts())}
