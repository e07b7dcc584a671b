"""Which trials have to be looked at, because MLflow may not have all of them yet."""

import threading
from collections.abc import Callable, Sequence

from dermtune.plan import Trial


class Backlog:
    """An ordered set of trials, filled by those who watch the training and emptied by a thread."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self._trials = {trial.trial_id: trial for trial in trials}
        self._due = dict.fromkeys(self._trials)
        self._running: set[str] = set()
        self._state = threading.Lock()

    def __len__(self) -> int:
        """Trials that are still to be looked at."""
        return len(self._due)

    def started(self, trial: Trial) -> None:
        """A driver trains the trial now."""
        with self._state:
            self._running.add(trial.trial_id)
        self.add(trial)

    def stopped(self, trial: Trial) -> None:
        """It does so no longer."""
        with self._state:
            self._running.discard(trial.trial_id)
        self.add(trial)

    def all_stopped(self) -> None:
        """No trial is trained any more; those that were come first."""
        with self._state:
            self._due = dict.fromkeys(self._running) | self._due
            self._running.clear()

    def is_running(self, trial: Trial) -> bool:
        """Whether a driver trains the trial."""
        return trial.trial_id in self._running

    def add(self, trial: Trial) -> None:
        """Look at it, after all that are to be looked at already: one that fails holds up no other."""
        with self._state:
            self._trials[trial.trial_id] = trial  # a search's points are not known before they start
            self._due[trial.trial_id] = None

    def take(self) -> Trial | None:
        """The next trial to look at; None where there is none left."""
        with self._state:
            trial_id = next(iter(self._due), None)
            if trial_id is None:
                return None
            del self._due[trial_id]
            return self._trials[trial_id]

    def review(self, is_settled: Callable[[Trial], bool]) -> None:
        """Look at every trial that is not settled, and at no other but those that are trained."""
        with self._state:
            for trial_id, trial in self._trials.items():
                if not is_settled(trial):
                    self._due.setdefault(trial_id)
                elif trial_id not in self._running:
                    self._due.pop(trial_id, None)
