"""Which trials Tune runs next."""

import itertools
from collections.abc import Sequence
from typing import Any

from ray.tune.search import Searcher
from typing_extensions import override

from dermtune.budget import Budget
from dermtune.frozen.bundles import bundles
from dermtune.plan import Trial
from dermtune.tuner.choosing import Chooser


class Admission(Chooser):
    """Gives Tune one bundle of trials after the other, in their order, as long as the budget has room.

    A bundle is one trial, or several that are trained in one program. Of a bundle that does not fit as a whole, the
    first trials that do are run.
    """

    def __init__(self, trials: Sequence[Trial], budget: Budget, *, together: bool = False) -> None:
        """All that is to be run, in order; with `together` what can be trained in one program is one bundle."""
        super().__init__()
        self._trials, self._together = trials, together
        self._waiting: list[tuple[Trial, ...]] = []
        self._budget = budget
        self._under_way: set[str] = set()

    @override
    def ready(self, slots: int) -> None:
        """Bundle the trials so that each slot has its share."""
        found = bundles(self._trials, slots) if self._together else [(trial,) for trial in self._trials]
        self._waiting = [tuple(bundle) for bundle in reversed(found)]

    @override
    def suggest(self, trial_id: str) -> Any:
        if not self._waiting:
            return Searcher.FINISHED
        admitted = tuple(itertools.takewhile(self._budget.admit, self._waiting[-1]))
        if not admitted:
            if self._under_way:
                return None  # Tune asks again: what is under way may take less than is typical
            self.refused = True
            return Searcher.FINISHED
        if left := self._waiting.pop()[len(admitted) :]:
            self._waiting.append(left)
        self._under_way.add(trial_id)
        return {"trial_ids": [trial.trial_id for trial in admitted]}

    @override
    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing is learnt but that it has ended: every trial of the plan runs."""
        self._under_way.discard(trial_id)
