"""How far a sweep is, by what was pulled of it."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dermtune.durable import read_json
from dermtune.ledger import SweepFolder
from dermtune.plan import Plan
from dermtune.spared import spared_in
from dermtune.validation import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Trials that `sweep.json` lists; of a first stage those that were begun."""

    n_trials: int
    """That were asked for; those that looks of adaptive repeats have spared are not."""
    n_done: int
    n_failed: int
    """Failed or diverged: the same command would try them again."""
    over: bool
    """Whether nothing is left to run: every trial that is judged is done or failed."""

    def to_dict(self) -> Mapping[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        return f"{self.n_done} of {self.n_trials} trials done{failed}"


def standing(into: Path, there: Collection[str]) -> Standing | None:
    """How far the sweep in the folder is; None where that cannot be told, or not yet.

    `there` are the files on the machine: a failure that was pulled and is no more there is being tried again.
    """
    folder = SweepFolder(into)
    try:
        if folder.first.exists() and not folder.selection.exists():
            return _counted(folder, {path.parent.name for path in into.glob("trials/*/history.csv")}, there)
        asked = read_json(into / "sweep.json")
        listed = {str(trial["trial_id"]) for trial in asked["trials"]}
        if asked.get("repeats") == "adaptive":
            listed -= spared_in(folder, Plan.from_dict(asked))
        return _counted(folder, listed, there, is_last=True)
    except (UserError, OSError, ValueError, LookupError, TypeError):
        return None  # half of it is here, or it is of another version: nothing ends because of it


def _counted(
    folder: SweepFolder, asked: Collection[str], there: Collection[str], *, is_last: bool = False
) -> Standing:
    trials = {trial_id: folder.trial(trial_id) for trial_id in asked}
    done = {trial_id for trial_id, trial in trials.items() if trial.is_done() or trial.pruned() is not None}
    n_failed = sum(f"trials/{trial_id}/failure.json" in there for trial_id in trials if trial_id not in done)
    over = is_last and bool(trials) and len(done) + n_failed == len(trials)
    return Standing(n_trials=len(trials), n_done=len(done), n_failed=n_failed, over=over)
