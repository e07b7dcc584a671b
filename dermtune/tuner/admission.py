"""Which trials Tune runs next."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from ray.tune.search import Searcher
from typing_extensions import override

from dermtune.budget import Budget
from dermtune.plan import Trial
from dermtune.tuner.choosing import Chooser


class Admission(Chooser):
    """Gives Tune one bundle of trials after the other, in their order, as long as the budget has room.

    A bundle is one trial, or several that are trained in one program. Of a bundle that does not fit as a whole, the
    first trials that do are run. All free slots are given one at once, and at least one bundle more waits for the
    next slot: Tune keeps a process for the next trial only where it knows of one.
    """

    def __init__(self, budget: Budget, slots: Callable[[], int], *, ahead: int = 1) -> None:
        """What admits trials; `slots` says how many bundles the cluster can train at a time now.

        So many more wait, which a cluster that grows by itself takes for its measure.
        """
        super().__init__(slots)
        self._waiting: list[tuple[Trial, ...]] = []
        self._budget = budget
        self._ahead = ahead
        self._under_way: dict[str, tuple[Trial, ...]] = {}
        """By Tune's id; empty where it was given back and keeps its slot."""

    def give(self, bundles: Sequence[Sequence[Trial]]) -> None:
        """All that is to be run, in order."""
        self._waiting = [tuple(bundle) for bundle in reversed(bundles)]

    @override
    def suggest(self, trial_id: str) -> Any:
        if not self._waiting:
            return None if self._under_way else Searcher.FINISHED  # what is under way may be given back
        if len(self._under_way) >= self.slots() + self._ahead:
            return None
        admitted = tuple(itertools.takewhile(self._budget.admit, self._waiting[-1]))
        if not admitted:
            if self._under_way:
                return None  # Tune asks again: what is under way may take less than is typical
            self.refused = True
            return Searcher.FINISHED
        if left := self._waiting.pop()[len(admitted) :]:
            self._waiting.append(left)
        self._under_way[trial_id] = admitted
        return {"trial_ids": [trial.trial_id for trial in admitted]}

    @override
    def give_back(self, trial_id: str) -> None:
        if trials := tuple(t for t in self._under_way[trial_id] if self._budget.is_under_way(t.trial_id)):
            self._waiting.append(trials)  # the others have ended
            for trial in trials:
                self._budget.settle(trial.trial_id, done=False)
        self._under_way[trial_id] = ()

    @override
    def is_stuck(self) -> bool:
        n_running = sum(map(bool, self._under_way.values()))
        return n_running <= self._ahead and len(self._under_way) - n_running >= self.slots()  # they have no slot

    @override
    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing is learnt but that it has ended: every trial of the plan runs."""
        self._under_way.pop(trial_id, None)
