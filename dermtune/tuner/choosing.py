"""What Tune asks for its next trial, without a state of its own: the ledger has it."""

from typing import Any

from ray.tune.search import Searcher
from typing_extensions import override


class Chooser(Searcher):
    """A Searcher that is told no space and no metric, and keeps nothing for Tune to restore."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = False
        """Trials were left because the budget has no room for them."""

    def ready(self, slots: int) -> None:
        """Ray is there, and can run so many trials at a time."""

    @override
    def set_search_properties(self, metric: str | None, mode: str | None, config: Any, **spec: Any) -> bool:
        return True

    @override
    def save(self, checkpoint_path: str) -> None:
        """The ledger is the state."""

    @override
    def restore(self, checkpoint_path: str) -> None:
        """The ledger is the state."""
