"""Which point of a search Tune runs next."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.search import Searcher
from typing_extensions import override

from dermtune.budget import Budget
from dermtune.journal import Journal
from dermtune.monitors import Monitor
from dermtune.plan import Trial
from dermtune.tuner.choosing import Chooser


class Proposals(Chooser):
    """Gives Tune what was cut off, then a new proposal as soon as there is room to run it, with all that is known.

    Ray's OptunaSearch knows its points by Tune's ids, so a search that was killed would leave its running ones so
    for ever and propose others in their stead.
    """

    def __init__(self, journal: Journal, budget: Budget, slots: Callable[[], int]) -> None:
        """Proposals of the journal; `slots` says how many trials the cluster can train at a time now."""
        super().__init__(slots)
        self._journal = journal
        self._budget = budget
        self._waiting = deque(journal.open_trials())
        self._under_way: dict[str, Trial | None] = {}
        """By Tune's id; None where it was given back and keeps its slot."""

    @override
    def suggest(self, trial_id: str) -> Any:
        if len(self._under_way) >= self.slots():
            return None  # a point proposed later knows more
        trial = self._next()
        if trial is None and self._journal.is_full:
            return None if self._under_way else Searcher.FINISHED  # what is under way may be given back
        if trial is None or not self._budget.admit(trial):
            if self._under_way:
                return None  # Tune asks again: what is under way may take less than is typical
            self.refused = True
            return Searcher.FINISHED
        self._under_way[trial_id] = self._waiting.popleft()
        about = {"arm": trial.arm, "levers": dict(trial.levers), "epochs": trial.config.training.epochs}
        return {"trial_ids": [trial.trial_id], **about}

    @override
    def give_back(self, trial_id: str) -> None:
        if trial := self._under_way[trial_id]:
            self._under_way[trial_id] = None
            self._waiting.appendleft(trial)
            self._budget.settle(trial.trial_id, done=False)

    @override
    def is_stuck(self) -> bool:
        return bool(self._under_way) and not any(self._under_way.values())

    @override
    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Optuna is told by `Teller`, from what the trial's folder says."""
        self._under_way.pop(trial_id, None)

    def _next(self) -> Trial | None:
        """The first that waits; where none does, a new one, unless all are proposed or the budget has no room.

        One that was trained already, or is under way as another point's, is passed over.
        """
        while True:
            if not self._waiting:
                if self._journal.is_full or not self._budget.has_room():
                    return None
                self._waiting.append(self._journal.propose())
            trial = self._waiting[0]
            if not self._is_under_way(trial) and not self._journal.settle(trial):
                return trial
            self._waiting.popleft()

    def _is_under_way(self, trial: Trial) -> bool:
        return any(other and other.trial_id == trial.trial_id for other in self._under_way.values())


class Teller(Monitor):
    """Tells Optuna how a point's trial ended, as soon as its folder says so."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @override
    def started(self, trial: Trial) -> None:
        pass

    @override
    def epoch(self, trial: Trial, row: Mapping[str, float]) -> None:
        pass

    @override
    def noticed(self, trial: Trial, what: str) -> None:
        pass

    @override
    def finished(self, trial: Trial, scores: Mapping[str, float]) -> None:
        self._journal.settle(trial)

    @override
    def pruned(self, trial: Trial, row: Mapping[str, float]) -> None:
        self._journal.settle(trial)

    @override
    def failed(self, trial: Trial, reason: str) -> None:
        self._journal.settle(trial)
