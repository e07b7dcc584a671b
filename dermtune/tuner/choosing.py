"""What Tune asks for its next trial, without a state of its own: the ledger has it."""

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher
from typing_extensions import override


class Chooser(Searcher):
    """A Searcher that is told no space and no metric, and keeps nothing for Tune to restore."""

    def __init__(self, slots: Callable[[], int]) -> None:
        """What chooses; `slots` says how many of Tune's trials the cluster can run at a time now."""
        super().__init__()
        self.refused = False
        """Trials were left because the budget has no room for them."""
        self.slots = slots

    def give_back(self, trial_id: str) -> None:
        """Choose again what Tune's trial was to run; it keeps its slot from taking others until it completes."""
        raise NotImplementedError

    def is_stuck(self) -> bool:
        """Whether every slot is kept so, and nothing runs."""
        raise NotImplementedError

    @override
    def set_search_properties(self, metric: str | None, mode: str | None, config: Any, **spec: Any) -> bool:
        return True

    @override
    def save(self, checkpoint_path: str) -> None:
        """The ledger is the state."""

    @override
    def restore(self, checkpoint_path: str) -> None:
        """The ledger is the state."""
