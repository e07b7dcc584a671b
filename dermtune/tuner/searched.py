"""The points of a search on Ray Tune: Optuna's TPE proposes, ASHA prunes, the journal remembers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dermtune.budget import Books, Budget
from dermtune.data.place import Place
from dermtune.depot import Depot
from dermtune.ending import Ending
from dermtune.execution import execute as train_from_folder_to_folder
from dermtune.journal import Journal, trials
from dermtune.ledger import SweepFolder
from dermtune.monitors import Monitor
from dermtune.plan import Trial
from dermtune.points import Points
from dermtune.signals import Signals
from dermtune.tuner.choosing import AHEAD
from dermtune.tuner.driving import Work, drive
from dermtune.tuner.fitting import Asked
from dermtune.tuner.proposing import Proposals, Teller
from dermtune.tuner.pruning import Pruning
from dermtune.tuner.worker import Execute


@dataclass(frozen=True, slots=True)
class _Proposed:
    """The trials that are made as they come."""

    points: Points

    def __call__(self, config: Mapping[str, Any]) -> Sequence[Trial]:
        if not config["trial_ids"]:
            return []  # it was given back
        levers = config["levers"]
        whole = self.points.config.with_levers(levers)
        return [replace(self.points.baseline, arm=config["arm"], levers=levers, config=whole)]


def search(
    points: Points,
    folder: SweepFolder,
    place: Place,
    *,
    cpus: float = 1,
    gpus: float | None = None,
    processes: int = 1,
    address: str | None = None,
    depot: Depot | None = None,
    minutes_to_wait: float = 0.0,
    usd_per_hour: float | None = None,
    budget: Budget | None = None,
    monitors: Sequence[Monitor] = (),
    signals: Signals | None = None,
    execute: Execute = train_from_folder_to_folder,
) -> Ending:
    """Run what is missing of the search, and tell the monitors what happens; scores are those on val.

    What a killed search had under way goes on with the same levers from its checkpoint, what failed is tried again,
    then TPE proposes as many points as are missing of `Search.n_points`. A point is proposed when it can start, or
    `AHEAD` of that where a cluster is to grow. One that is behind at a rung of ASHA is pruned, the baseline never.
    Else it is as `run` does it, arguments too.

    Raises TunerError where there is no such cluster, or no node of it is large enough for a trial, JournalError
    where the search's journal cannot be read.
    """
    journal, known = Journal(points, folder), trials(points, folder)
    if journal.is_full and not journal.open_trials():
        return Ending()
    budget = budget or Budget(Books(folder, known, usd_per_hour))
    to_run = {trial.trial_id for trial in journal.open_trials()}
    pruning = Pruning(points, folder, [trial for trial in known if trial.trial_id not in to_run])
    asked = Asked(cpus=cpus, gpus=gpus, processes=processes, on_one_node=depot is not None)
    work = Work(
        chooser=Proposals(journal, budget, ahead=AHEAD if minutes_to_wait else 0),
        trials_of=_Proposed(points),
        judged_on="val",
        scheduler=pruning,
        pruned=pruning.pruned,
    )
    return drive(
        work,
        folder,
        place,
        asked=asked,
        address=address,
        depot=depot,
        minutes_to_wait=minutes_to_wait,
        usd_per_hour=usd_per_hour,
        budget=budget,
        monitors=(Teller(journal), *monitors),
        signals=signals,
        execute=execute,
    )
