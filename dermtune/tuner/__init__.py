"""A sweep's missing trials on Ray Tune. Only this folder knows Ray; the ledger, not Ray, remembers what is done."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from ray import tune

from dermtune.budget import Books, Budget
from dermtune.data.place import Place
from dermtune.ending import Ending
from dermtune.execution import execute as train_from_folder_to_folder
from dermtune.frozen.bundles import bundles
from dermtune.ledger import SweepFolder
from dermtune.monitors import Monitor, Monitors
from dermtune.plan import Trial
from dermtune.signals import Signals, Stopped
from dermtune.tuner.admission import Admission
from dermtune.tuner.cluster import TunerError, connected, gpus_that_fit, slots, tune_storage
from dermtune.tuner.events import CRASHES, Events, Tally
from dermtune.tuner.stopping import Stop
from dermtune.tuner.worker import Execute, Job, Together, run_bundle

__all__ = ["Execute", "Together", "TunerError", "run"]


def run(
    trials: Sequence[Trial],
    folder: SweepFolder,
    place: Place,
    *,
    cpus: float = 1,
    gpus: float | None = None,
    address: str | None = None,
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
        folder: where results go; on several nodes a path that all of them share.
        place: where images are.
        cpus: cores of one trial; torch has as many threads, at least one.
        gpus: GPUs of one trial; None takes one where the cluster has any.
        address: a running Ray cluster; None starts a local one and stops it again.
        usd_per_hour: price of an hour, for the manifests.
        budget: asked before each trial starts.
        monitors: told in this process; an exception in one is said and ends nothing.
        signals: the caller's, who may have heard one; None hears them for the length of this run.
        execute: what runs in the worker.
        together: what runs there for several heads on the same frozen backbone; None runs them one by one.

    Raises TunerError where there is no such cluster, or no node of it is large enough for a trial.
    """
    budget = budget or Budget(Books(folder, trials, usd_per_hour))
    signals = signals or Signals()
    tally, admission, stop = Tally(budget), Admission(budget), Stop(signals)
    with contextlib.suppress(Stopped), signals.held(), tune_storage(folder, address) as storage, connected(address):
        job = Job(
            trials={trial.trial_id: trial for trial in trials},
            folder=folder,
            place=place,
            cpus=cpus,
            gpus=gpus_that_fit(cpus, gpus),
            usd_per_hour=usd_per_hour,
            execute=execute,
            together=together,
        )
        at_once = slots(cpus, job.gpus)
        admission.give(bundles(trials, at_once) if together else [(trial,) for trial in trials])
        stop.stop_all()  # it may have been asked while Ray started
        events = Events(job.trials, folder, Monitors((tally, *monitors)), stop, signals)
        _tuner(job, admission, events, stop, storage).fit()
    return Ending(
        finished=len(tally.finished_ids),
        failed=len(tally.failed_ids),
        out_of_budget=admission.refused,
        halted=stop.halted,
        signal=signals.came,
    )


def _tuner(job: Job, admission: Admission, events: Events, stop: Stop, storage: Path) -> tune.Tuner:
    trainable = tune.with_parameters(run_bundle, job=job)
    return tune.Tuner(
        tune.with_resources(trainable, {"cpu": job.cpus, "gpu": job.gpus}),
        tune_config=tune.TuneConfig(search_alg=admission, num_samples=len(job.trials), reuse_actors=True),
        run_config=tune.RunConfig(
            storage_path=str(storage),
            callbacks=[events],
            stop=stop,
            failure_config=tune.FailureConfig(max_failures=CRASHES),
            verbose=0,
        ),
    )
