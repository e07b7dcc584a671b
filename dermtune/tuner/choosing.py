"""What Tune asks for its next trial, without a state of its own: the ledger has it."""

from collections.abc import Callable, Sequence
from typing import Any

from ray.tune.search import Searcher
from typing_extensions import override

from dermtune.budget import Budget
from dermtune.plan import Trial

AHEAD = 8
"""Trials that wait where a cluster grows by itself: it starts nodes for them."""


class Chooser(Searcher):
    """A Searcher that is told no space and no metric, and keeps nothing for Tune to restore."""

    def __init__(self, budget: Budget, *, ahead: int) -> None:
        """What admits trials; so many wait besides, which a cluster that grows by itself takes for its measure."""
        super().__init__()
        self._budget = budget
        self.refused = False
        """Trials were left because the budget has no room for them."""
        self.has_ended = False
        """Tune is given nothing more."""
        self.slots: Callable[[], int] = lambda: 1
        """How many of Tune's trials the cluster can run at a time now; asked once Ray is there."""
        self._ahead = ahead
        self._under_way: dict[str, Sequence[Trial]] = {}
        """By Tune's id; empty where they were given back and it keeps its slot."""

    def is_full(self) -> bool:
        """Whether as many are under way as may be."""
        return len(self._under_way) >= self.slots() + self._ahead

    def end(self, *, refused: bool = False) -> str | None:
        """What Tune is told where nothing more can be chosen now: to ask again while trials are under way.

        One of them may be given back, or take less than is typical of what the budget refuses.
        """
        if any(self._under_way.values()):
            return None
        self.refused, self.has_ended = refused, True
        return str(Searcher.FINISHED)

    def only_keeps_slots(self) -> bool:
        """Whether all has ended but what was given back: that ends when its node has what it lacks, if ever."""
        return self.has_ended and bool(self._under_way)

    def choose_again(self, trials: Sequence[Trial]) -> None:
        """What was under way is to be run elsewhere."""
        raise NotImplementedError

    def give_back(self, trial_id: str) -> None:
        """Choose again what Tune's trial was to run; it keeps its slot from taking others until it completes."""
        chosen = self._under_way.get(trial_id, ())
        trials = tuple(one for one in chosen if self._budget.is_under_way(one.trial_id))  # the others have ended
        self._under_way[trial_id] = ()
        if trials:
            self.choose_again(trials)
        for trial in trials:
            self._budget.settle(trial.trial_id, done=False)

    def lose(self, trial_id: str) -> None:
        """Tune's trial has lost its slot and waits for another, which one that was given back is to nobody."""
        if not self._under_way.get(trial_id, True):
            del self._under_way[trial_id]

    def is_stuck(self) -> bool:
        """Whether every slot is kept so, and nothing runs."""
        n_open = sum(map(bool, self._under_way.values()))
        return n_open <= self._ahead and len(self._under_way) - n_open >= self.slots()  # they have no slot

    @override
    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing is learnt but that it has ended: what it came to stands in its folder."""
        self._under_way.pop(trial_id, None)

    @override
    def set_search_properties(self, metric: str | None, mode: str | None, config: Any, **spec: Any) -> bool:
        return True

    @override
    def save(self, checkpoint_path: str) -> None:
        """The ledger is the state."""

    @override
    def restore(self, checkpoint_path: str) -> None:
        """The ledger is the state."""
