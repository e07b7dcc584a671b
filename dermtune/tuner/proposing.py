"""Which point of a search Tune runs next."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

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

    def __init__(self, journal: Journal, budget: Budget, *, ahead: int = 0) -> None:
        """Proposals of the journal; what is proposed ahead knows less."""
        super().__init__(budget, ahead=ahead)
        self._journal = journal
        self._waiting = deque(journal.open_trials())

    @override
    def suggest(self, trial_id: str) -> Any:
        if self.is_full():
            return None  # a point proposed later knows more
        trial = self._next()
        if trial is None and self._journal.is_full:
            return self.end()
        if trial is None or not self._budget.admit(trial):
            return self.end(refused=True)
        self._under_way[trial_id] = (self._waiting.popleft(),)
        about = {"arm": trial.arm, "levers": dict(trial.levers), "epochs": trial.config.training.epochs}
        return {"trial_ids": [trial.trial_id], **about}

    @override
    def choose_again(self, trials: Sequence[Trial]) -> None:
        self._waiting.extendleft(trials)

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
        under_way = {other.trial_id for others in self._under_way.values() for other in others}
        return trial.trial_id in under_way


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
