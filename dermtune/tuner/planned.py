"""A plan's missing trials on Ray Tune."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dermtune.budget import Books, Budget
from dermtune.data.place import Place
from dermtune.ending import Ending
from dermtune.execution import execute as train_from_folder_to_folder
from dermtune.frozen.bundles import bundles
from dermtune.ledger import SweepFolder
from dermtune.machines import HERE, Machines
from dermtune.monitors import Monitor
from dermtune.plan import Trial
from dermtune.signals import Signals
from dermtune.tuner.admission import Admission
from dermtune.tuner.choosing import AHEAD
from dermtune.tuner.driving import Work, drive
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
    machines: Machines = HERE,
    *,
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
        machines: what they run on, and what one has of it.
        budget: asked before each trial starts.
        monitors: told in this process; an exception in one is said and ends nothing.
        signals: the caller's, who may have heard one; None hears them for the length of this run.
        execute: what runs in the worker.
        together: what runs there for several heads on the same frozen backbone; None runs them one by one.

    Raises TunerError where there is no such cluster, or no node of it is large enough for a trial.
    """
    budget = budget or Budget(Books(folder, trials, machines.usd_per_hour))
    return drive(
        _work(trials, Admission(budget, ahead=AHEAD if machines.minutes_to_wait else 1), together),
        folder,
        place,
        machines,
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
