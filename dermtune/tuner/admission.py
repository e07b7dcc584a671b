"""Which trial Tune runs next."""

from collections.abc import Sequence
from typing import Any

from ray.tune.search import Searcher
from typing_extensions import override

from dermtune.budget import Budget
from dermtune.plan import Trial
from dermtune.tuner.choosing import Chooser


class Admission(Chooser):
    """Gives Tune one trial after the other, in the plan's order, as long as the budget has room."""

    def __init__(self, trials: Sequence[Trial], budget: Budget) -> None:
        super().__init__()
        self._waiting = list(reversed(trials))
        self._budget = budget
        self._under_way: set[str] = set()

    @override
    def suggest(self, trial_id: str) -> Any:
        if not self._waiting:
            return Searcher.FINISHED
        if not self._budget.admit(self._waiting[-1]):
            if self._under_way:
                return None  # Tune asks again: what is under way may take less than is typical
            self.refused = True
            return Searcher.FINISHED
        trial = self._waiting.pop()
        self._under_way.add(trial_id)
        return {"trial_id": trial.trial_id, "arm": trial.arm, "seed": trial.seed}

    @override
    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing is learnt but that it has ended: every trial of the plan runs."""
        self._under_way.discard(trial_id)
