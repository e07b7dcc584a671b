"""What drives trials on Ray Tune, whoever says which comes next."""

import contextlib
import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ray import tune
from ray.tune.schedulers import TrialScheduler

from dermtune.budget import Budget
from dermtune.data.place import Place
from dermtune.depot import Depot
from dermtune.ending import Ending
from dermtune.ledger import SweepFolder
from dermtune.monitors import Monitor, Monitors
from dermtune.signals import Signals, Stopped
from dermtune.tuner.choosing import Chooser
from dermtune.tuner.cluster import Slots, connected, nodes, tune_storage
from dermtune.tuner.crews import reserved
from dermtune.tuner.events import CRASHES, Events, Tally
from dermtune.tuner.fitting import Asked, TunerError
from dermtune.tuner.receiving import FromStorage, Receiver
from dermtune.tuner.sight import EVERYTHING, Sight
from dermtune.tuner.stopping import PATIENCE, Standstill, Stop
from dermtune.tuner.worker import Execute, Job, JudgedOn, Together, TrialsOf, run_bundle

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The trials of a stage."""

    chooser: Chooser
    trials_of: TrialsOf
    ready: Callable[[int], None] = lambda _: None
    """Called once Ray is there, with how many trials it can run at a time."""
    together: Together | None = None
    """What trains bundles of several; None runs them one by one."""
    judged_on: JudgedOn = "test"
    scheduler: TrialScheduler | None = None
    """Stops trials early."""
    pruned: Container[str] = ()
    """Tune's ids of those that it has stopped."""


def drive(
    work: Work,
    folder: SweepFolder,
    place: Place,
    *,
    asked: Asked,
    address: str | None,
    depot: Depot | None,
    minutes_to_wait: float,
    usd_per_hour: float | None,
    budget: Budget,
    monitors: Sequence[Monitor],
    signals: Signals | None,
    execute: Execute,
) -> Ending:
    """How it ended, after the trials were run and the monitors told; see `run`."""
    signals = signals or Signals()
    tally, stop = Tally(budget), Stop(signals)
    stop.standstills.append(_nobody_takes(work.chooser, stop))
    stop.is_over = work.chooser.only_keeps_slots
    receiver = Receiver(folder) if depot is None else FromStorage(folder, depot)
    with contextlib.suppress(Stopped), signals.held(), tune_storage(folder, address) as storage, connected(address):
        asked = _fitted(asked, minutes_to_wait, stop)
        job = Job(
            trials_of=work.trials_of,
            folder=folder if depot is None else SweepFolder(place.cache_dir / "trials" / depot.key),
            place=place,
            cpus=asked.cpus,
            gpus=asked.gpus or 0.0,
            processes=asked.processes,
            usd_per_hour=usd_per_hour,
            execute=execute,
            together=work.together,
            judged_on=work.judged_on,
            sight=_sight(storage, folder, place, depot),
        )
        work.chooser.slots = Slots(asked)
        work.ready(work.chooser.slots())
        stop.stop_all()  # it may have been asked while Ray started
        heard = Monitors((tally, *monitors))
        events = Events(work.trials_of, folder, heard, stop, signals, work.chooser, receiver, work.pruned)
        _tuner(work, job, asked, events, stop, storage).fit()
    return Ending(
        finished=len(tally.finished_ids),
        failed=len(tally.failed_ids),
        pruned=len(tally.pruned_ids),
        out_of_budget=work.chooser.refused,
        halted=stop.halted,
        signal=signals.came,
    )


def _nobody_takes(chooser: Chooser, stop: Stop) -> Standstill:
    """Every node lacks what trials need."""
    return Standstill(
        holds=chooser.is_stuck, why=lambda: f"no node can take a trial: {stop.lacking}", patience=PATIENCE
    )


def _fitted(asked: Asked, minutes_to_wait: float, stop: Stop) -> Asked:
    """As `Asked.fitted`; a node that may come later is waited for, while pending trials ask for it."""
    try:
        return asked.fitted(nodes())
    except TunerError as error:
        if not minutes_to_wait:
            raise
        why = str(error)
    logger.warning("No node yet for a trial, waiting %g min at most: %s", minutes_to_wait, why)
    asked = replace(asked, gpus=asked.gpus or 0.0)
    patience = 60 * minutes_to_wait
    stop.standstills.append(
        Standstill(holds=lambda: not asked.at_once(nodes()), why=lambda: why, patience=patience)
    )
    return asked


def _sight(storage: Path, folder: SweepFolder, place: Place, depot: Depot | None) -> Sight:
    """What nodes must see, Tune's own folder where that lies in the sweep's; on one machine nothing."""
    if not storage.is_relative_to(folder.path):
        return EVERYTHING if depot is None else Sight(depot=depot)
    data = place.data_dir if place.data_dir.is_dir() else None
    return Sight(folder=storage if depot is None else None, data=data, depot=depot)


def _tuner(work: Work, job: Job, asked: Asked, events: Events, stop: Stop, storage: Path) -> tune.Tuner:
    trainable = tune.with_parameters(run_bundle, job=job)
    return tune.Tuner(
        tune.with_resources(trainable, reserved(asked)),
        tune_config=tune.TuneConfig(
            search_alg=work.chooser, scheduler=work.scheduler, num_samples=-1, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            storage_path=str(storage),
            callbacks=[events],
            stop=stop,
            failure_config=tune.FailureConfig(max_failures=CRASHES),
            verbose=0,
        ),
    )
