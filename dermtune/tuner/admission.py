"""Which trial Tune runs next."""

from collections.abc import Sequence
from typing import Any

from ray.tune.search import Searcher
from typing_extensions import override

from dermtune.budget import Budget
from dermtune.plan import Trial


class Admission(Searcher):
    """Gives Tune one trial after the other, in the plan's order, as long as the budget has room."""

    def __init__(self, trials: Sequence[Trial], budget: Budget) -> None:
        super().__init__()
        self._waiting = list(reversed(trials))
        self._budget = budget
        self.refused = False

    @override
    def set_search_properties(self, metric: str | None, mode: str | None, config: Any, **spec: Any) -> bool:
        return True

    @override
    def suggest(self, trial_id: str) -> Any:
        if not self._waiting:
            return Searcher.FINISHED
        if not self._budget.admit():
            self.refused = True
            return Searcher.FINISHED
        trial = self._waiting.pop()
        return {"trial_id": trial.trial_id, "arm": trial.arm, "seed": trial.seed}

    @override
    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing is learnt from a result: every trial of the plan runs."""

    @override
    def save(self, checkpoint_path: str) -> None:
        """The ledger is the state."""

    @override
    def restore(self, checkpoint_path: str) -> None:
        """The ledger is the state."""
