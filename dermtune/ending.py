"""How a sweep came to its end: the exit code, and what is said about it."""

import signal
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from analysis.words import count
from dermtune.bill import closing
from dermtune.board import Board


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What became of the trials that were to run; by default there were none."""

    finished: int = 0
    failed: int = 0
    pruned: int = 0
    """A search has stopped them early, as it should."""
    out_of_budget: bool = False
    """Trials were left because the budget has no room for them."""
    halted: str | None = None
    """Why the rest was not started though there is budget: the disk is full. A clause."""
    signal: int | None = None
    """The signal that stopped it."""

    @property
    def exit_code(self) -> int:
        """0 where all trials are done, 1 where some are not, 128 and the signal's number where one came."""
        if self.signal is not None:
            return 128 + self.signal
        return int(self.failed > 0 or self.out_of_budget or self.halted is not None)


def print_ending(ending: Ending, board: Board, console: Console) -> None:
    """Say which trials failed and why, how far the sweep is, and how to go on."""
    for trial in board.plan.trials:
        if trial.trial_id in board.reasons:
            _say(console, ("✗ ", "bold red"), (trial.title, "bold"), f" failed: {board.reasons[trial.trial_id]}")
    done = f"{len(board.scores)} of {count(board.n_trials, board.noun)} done"
    done += f", {len(board.epochs_pruned)} pruned" if board.epochs_pruned else ""
    if ending.signal is not None:
        name = signal.Signals(ending.signal).name
        _say(console, (f"Stopped by {name}", "bold yellow"), f": {done}; the same command goes on from here.")
    elif ending.halted is not None:
        _say(console, ("Stopped", "bold yellow"), f": {ending.halted}; {done}; the same command goes on from here.")
    elif ending.out_of_budget:
        more = closing(board.budget, board.missing) if board.budget else "the same command with more goes on"
        _say(console, ("The budget is spent", "bold yellow"), f": {done}; {more}.")
    elif ending.failed:
        _say(console, (f"{ending.failed} failed", "bold red"), f": {done}; the same command tries them again.")
    elif not ending.finished and not ending.pruned:
        _say(console, ("Nothing to run", "bold green"), f": {done}.")


def _say(console: Console, *parts: str | tuple[str, str]) -> None:
    console.print(Text.assemble(*parts), soft_wrap=True)
