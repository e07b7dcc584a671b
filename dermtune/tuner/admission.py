"""Which trials Tune runs next."""

import itertools
from collections.abc import Sequence
from typing import Any

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

    def __init__(self, budget: Budget, *, ahead: int = 1) -> None:
        """As any Chooser, and trials that `give` brings."""
        super().__init__(budget, ahead=ahead)
        self._waiting: list[tuple[Trial, ...]] = []

    def give(self, bundles: Sequence[Sequence[Trial]]) -> None:
        """All that is to be run, in order."""
        self._waiting = [tuple(bundle) for bundle in reversed(bundles)]

    @override
    def suggest(self, trial_id: str) -> Any:
        if not self._waiting:
            return self.end()
        if self.is_full():
            return None
        admitted = tuple(itertools.takewhile(self._budget.admit, self._waiting[-1]))
        if not admitted:
            return self.end(refused=True)
        if left := self._waiting.pop()[len(admitted) :]:
            self._waiting.append(left)
        self._under_way[trial_id] = admitted
        return {"trial_ids": [trial.trial_id for trial in admitted]}

    @override
    def choose_again(self, trials: Sequence[Trial]) -> None:
        self._waiting.append(tuple(trials))
