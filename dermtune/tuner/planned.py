"""A plan's missing trials on Ray Tune."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dermtune.budget import Books, Budget
from dermtune.data.place import Place
from dermtune.depot import Depot
from dermtune.ending import Ending
from dermtune.execution import execute as train_from_folder_to_folder
from dermtune.frozen.bundles import bundles
from dermtune.ledger import SweepFolder
from dermtune.monitors import Monitor
from dermtune.plan import Trial
from dermtune.signals import Signals
from dermtune.tuner.admission import Admission
from dermtune.tuner.choosing import AHEAD
from dermtune.tuner.driving import Work, drive
from dermtune.tuner.fitting import Asked
from dermtune.tuner.worker import Execute, Together


@dataclass(frozen=True, slots=True)
class _Planned:
    """The trials that are known before the first of them starts."""

    by_id: Mapping[str, Trial]

    def __call__(self, config: Mapping[str, Any]) -> Sequence[Trial]:
        return [self.by_id[trial_id] for trial_id in config["trial_ids"]]


def run(
    trials: Sequence[Trial],
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
    together: Together | None = None,
) -> Ending:
    """Run the trials in their order and tell the monitors what happens.

    A trial that raises is recorded as failed at once, one whose worker dies is tried again `CRASHES` times; the
    others go on. A signal and a full disk stop in order: what is running keeps its last whole checkpoint.

    Args:
        trials: those that are missing, seed-major.
        folder: where results go; on several nodes a path that all of them share, or with a depot the driver's own.
        place: where images are.
        cpus: cores of one trial; torch has as many threads, at least one.
        gpus: GPUs of one trial; None takes one where the cluster has any, of several processes one each.
        processes: that train one trial together, with a like part of its cores and GPUs each.
        address: a running Ray cluster; None starts a local one and stops it again.
        depot: by what way results come from nodes that do not see the folder.
        minutes_to_wait: how long at most for a node that a trial fits on.
        usd_per_hour: price of an hour, for the manifests.
        budget: asked before each trial starts.
        monitors: told in this process; an exception in one is said and ends nothing.
        signals: the caller's, who may have heard one; None hears them for the length of this run.
        execute: what runs in the worker.
        together: what runs there for several heads on the same frozen backbone; None runs them one by one.

    Raises TunerError where there is no such cluster, or no node of it is large enough for a trial.
    """
    budget = budget or Budget(Books(folder, trials, usd_per_hour))
    asked = Asked(cpus=cpus, gpus=gpus, processes=processes, on_one_node=depot is not None)
    return drive(
        _work(trials, Admission(budget, ahead=AHEAD if minutes_to_wait else 1), together),
        folder,
        place,
        asked=asked,
        address=address,
        depot=depot,
        minutes_to_wait=minutes_to_wait,
        usd_per_hour=usd_per_hour,
        budget=budget,
        monitors=monitors,
        signals=signals,
        execute=execute,
    )


def _work(trials: Sequence[Trial], admission: Admission, together: Together | None) -> Work:
    """The trials in bundles, which are made once it is known how many run beside each other."""

    def give(at_once: int) -> None:
        admission.give(bundles(trials, at_once) if together else [(trial,) for trial in trials])

    return Work(
        chooser=admission,
        trials_of=_Planned({trial.trial_id: trial for trial in trials}),
        ready=give,
        together=together,
    )
