"""What drives trials on Ray Tune, whoever says which comes next."""

import contextlib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from ray import tune
from ray.tune.schedulers import TrialScheduler

from dermtune.budget import Budget
from dermtune.data.place import Place
from dermtune.ending import Ending
from dermtune.ledger import SweepFolder
from dermtune.monitors import Monitor, Monitors
from dermtune.signals import Signals, Stopped
from dermtune.tuner.choosing import Chooser
from dermtune.tuner.cluster import connected, gpus_that_fit, slots, tune_storage
from dermtune.tuner.crews import reserved
from dermtune.tuner.events import CRASHES, Events, Tally
from dermtune.tuner.stopping import Stop
from dermtune.tuner.worker import Execute, Job, JudgedOn, Together, TrialsOf, run_bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The trials of a stage."""

    chooser: Chooser
    trials_of: TrialsOf
    n_most: int
    """Trials that are started at most."""
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
    cpus: float,
    gpus: float | None,
    address: str | None,
    usd_per_hour: float | None,
    budget: Budget,
    monitors: Sequence[Monitor],
    signals: Signals | None,
    execute: Execute,
    processes: int = 1,
) -> Ending:
    """How it ended, after the trials were run and the monitors told; see `run`."""
    signals = signals or Signals()
    tally, stop = Tally(budget), Stop(signals)
    with contextlib.suppress(Stopped), signals.held(), tune_storage(folder, address) as storage, connected(address):
        job = Job(
            trials_of=work.trials_of,
            folder=folder,
            place=place,
            cpus=cpus,
            gpus=gpus_that_fit(cpus, gpus, processes),
            processes=processes,
            usd_per_hour=usd_per_hour,
            execute=execute,
            together=work.together,
            judged_on=work.judged_on,
        )
        work.ready(slots(cpus, job.gpus, processes))
        stop.stop_all()  # it may have been asked while Ray started
        heard = Monitors((tally, *monitors))
        _tuner(work, job, Events(work.trials_of, folder, heard, stop, signals, work.pruned), stop, storage).fit()
    return Ending(
        finished=len(tally.finished_ids),
        failed=len(tally.failed_ids),
        pruned=len(tally.pruned_ids),
        out_of_budget=work.chooser.refused,
        halted=stop.halted,
        signal=signals.came,
    )


def _tuner(work: Work, job: Job, events: Events, stop: Stop, storage: Path) -> tune.Tuner:
    trainable = tune.with_parameters(run_bundle, job=job)
    return tune.Tuner(
        tune.with_resources(trainable, reserved(job.processes, job.cpus, job.gpus)),
        tune_config=tune.TuneConfig(
            search_alg=work.chooser, scheduler=work.scheduler, num_samples=work.n_most, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            storage_path=str(storage),
            callbacks=[events],
            stop=stop,
            failure_config=tune.FailureConfig(max_failures=CRASHES),
            verbose=0,
        ),
    )
