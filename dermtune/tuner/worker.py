"""What runs in a worker: a bundle of trials, usually one, from folder to folder."""

import contextlib
import shutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from ray import tune

from dermtune.crew import Gather
from dermtune.data.manifest import DataError
from dermtune.data.place import Place
from dermtune.depot import DepotError, make_room
from dermtune.frozen.bundles import Unfit
from dermtune.ledger import Diverged, FailureStatus, SweepFolder, TrialFolder, written_alone
from dermtune.memory import lacks_memory
from dermtune.plan import Trial
from dermtune.room import full_disk, lacks_room
from dermtune.tuner.crews import LostProcess, gathering, lacking
from dermtune.tuner.sending import Sender, spent
from dermtune.tuner.sight import EVERYTHING, Sight, hand_back, hold, this_node


class Execute(Protocol):
    """Trains one trial from folder to folder and returns its test scores; see `dermtune.execution.execute`."""

    def __call__(
        self,
        trial: Trial,
        place: Place,
        folder: TrialFolder,
        *,
        threads: int,
        gpus: float,
        usd_per_hour: float | None,
        on_epoch: Callable[[Mapping[str, float]], None],
        on_notice: Callable[[str], None],
        on_images: bool,
        gather: Gather,
    ) -> Mapping[str, float]:
        """Train the trial; `on_images` where its model is known to be Unfit for kept features."""


class Together(Protocol):
    """Trains the heads of a bundle in one program; see `dermtune.execution.execute_together`."""

    def __call__(
        self,
        trials: Sequence[Trial],
        place: Place,
        folders: Mapping[str, TrialFolder],
        *,
        threads: int,
        gpus: float,
        usd_per_hour: float | None,
        on_epoch: Callable[[Mapping[str, Mapping[str, float]]], None],
        on_notice: Callable[[Trial, str], None],
        on_end: Callable[[Trial, Mapping[str, float] | Diverged], None],
    ) -> None:
        """Train the heads."""


JudgedOn = Literal["test", "val"]

TrialsOf = Callable[[Mapping[str, Any]], Sequence[Trial]]
"""The trials that one of Tune's runs, of the config that Tune has for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that a worker needs to run any of the trials."""

    trials_of: TrialsOf
    folder: SweepFolder
    """Where workers write: the sweep's, or with a storage one of the node's own."""
    place: Place
    cpus: float
    gpus: float
    usd_per_hour: float | None
    execute: Execute
    together: Together | None = None
    """What trains bundles of several trials; None where there are none."""
    processes: int = 1
    """That train a trial together; cores and GPUs are of all of them."""
    judged_on: JudgedOn = "test"
    """Split whose scores are told: a search sees no other than val."""
    sight: Sight = EVERYTHING
    """What a node must see to run them."""

    @property
    def threads(self) -> int:
        """Of torch, in each process."""
        return max(1, int(self.cpus / self.processes))


def run_bundle(config: Mapping[str, Any], job: Job) -> None:
    """In the worker: a bundle. What a trial raises is its result; a death and a lack of memory are Ray's affair."""
    trials, unfit = job.trials_of(config), False
    look = partial(lacking, trials, job.place, job.sight, job.processes, job.cpus, job.gpus)
    if (found := look()) is not None:
        hand_back(*found)
        hold(look)
        return
    if job.sight.depot is not None:
        with contextlib.suppress(DepotError):  # the next trial makes it
            make_room(job.sight.depot, job.folder, [trial.trial_id for trial in trials])
    if len(trials) > 1 and job.together is not None:
        try:
            _run_together(trials, job, job.together)
            return
        except Unfit:
            unfit = True  # they share their backbone: none of them need find it out again
    for trial in trials:
        if not _run_alone(trial, job, on_images=unfit):
            return


def _run_alone(trial: Trial, job: Job, *, on_images: bool) -> bool:
    """Whether another trial can be run after this one."""
    folder = job.folder.trial(trial.trial_id)
    sender = Sender(trial, folder, job.sight.depot, lambda text: _notice(trial, text))

    def epoch(row: Mapping[str, float]) -> None:
        sender.epoch()
        tune.report({"event": "epoch", "rows": {trial.trial_id: dict(row)}})

    try:
        with written_alone(folder.path):
            sender.begin()
            if not folder.is_done():  # its worker may have died between its seal and its report
                job.execute(
                    trial,
                    job.place,
                    folder,
                    threads=job.threads,
                    gpus=job.gpus,
                    usd_per_hour=job.usd_per_hour,
                    on_epoch=epoch,
                    on_notice=lambda text: _notice(trial, text),
                    on_images=on_images,
                    gather=gathering(job.processes, job.cpus, job.gpus, job.threads),
                )
            sender.end()
            scores = folder.manifest()["scores"][job.judged_on]
    except Exception as error:  # noqa: BLE001 - it is told
        return _told([trial], job, error)
    _end(trial, job, scores)
    return True


def _run_together(trials: Sequence[Trial], job: Job, together: Together) -> None:
    """Run those of a bundle's trials that are not sealed. Raises Unfit where they must be run one by one."""
    folders = {trial.trial_id: job.folder.trial(trial.trial_id) for trial in trials}
    waiting = {trial.trial_id: trial for trial in trials}
    senders = {
        trial.trial_id: Sender(trial, folders[trial.trial_id], job.sight.depot, partial(_notice, trial))
        for trial in trials
    }

    def end(trial: Trial, result: Mapping[str, float] | Diverged) -> None:
        del waiting[trial.trial_id]
        folder = folders[trial.trial_id]
        if not isinstance(result, Diverged):
            senders[trial.trial_id].end()
        _end(trial, job, result if isinstance(result, Diverged) else _scores_of_sealed(folder, job))

    try:
        with contextlib.ExitStack() as alone:
            for folder in folders.values():
                alone.enter_context(written_alone(folder.path))
            for trial in trials:
                senders[trial.trial_id].begin()
                if scores := _scores_of_sealed(folders[trial.trial_id], job):
                    end(trial, scores)
            if waiting:
                together(
                    tuple(waiting.values()),
                    job.place,
                    {trial_id: folders[trial_id] for trial_id in waiting},
                    threads=job.threads,
                    gpus=job.gpus,
                    usd_per_hour=job.usd_per_hour,
                    on_epoch=lambda rows: tune.report({"event": "epoch", "rows": {i: dict(rows[i]) for i in rows}}),
                    on_notice=_notice,
                    on_end=end,
                )
    except Unfit:
        raise
    except Exception as error:  # noqa: BLE001 - it is told
        _told(tuple(waiting.values()), job, error)


def _told(trials: Sequence[Trial], job: Job, error: Exception) -> bool:
    """Tell what ended these trials; whether others can be run all the same. A lack of memory is raised again."""
    if lacks_room(error, job.folder.path):
        tune.report({"event": "full disk", "what": full_disk(error, job.folder.path)})  # the next trial's too
        return False
    if isinstance(error, DepotError):
        tune.report({"event": "no storage", "said": _reason(error)})
        raise error  # so that Ray tries again, perhaps on another node
    if isinstance(error, DataError) and job.sight.data is not None:  # the driver has read them: it is the node
        hand_back(this_node(), f"has other images: {_reason(error)}")
        hold(lambda: True)
    if lacks_memory(error):
        tune.report({"event": "out of memory", "said": _reason(error)})
        raise error  # so that Ray tries again, in a new process
    if isinstance(error, LostProcess):
        raise error  # the same
    for trial in trials:
        _end(trial, job, error)
    return True


def _end(trial: Trial, job: Job, result: Mapping[str, float] | Exception) -> None:
    """Report the trial's scores, or record and report why it has none."""
    folder = job.folder.trial(trial.trial_id)
    if job.sight.depot is not None:
        tune.report(spent(trial, folder))
    if not isinstance(result, Exception):
        tune.report({"event": "finished", "trial": trial.trial_id, "scores": dict(result)})
        if job.sight.depot is not None:
            shutil.rmtree(folder.path, ignore_errors=True)  # it is in the storage
        return
    status: FailureStatus = "diverged" if isinstance(result, Diverged) else "failed"
    detail = "".join(traceback.format_exception(result))
    with contextlib.suppress(OSError):  # the reason is reported all the same
        folder.fail(status, _reason(result), detail)
    said = {"reason": _reason(result), "status": status, "detail": detail}
    tune.report({"event": "failed", "trial": trial.trial_id, **said})


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _notice(trial: Trial, text: str) -> None:
    tune.report({"event": "notice", "trial": trial.trial_id, "text": text})


def _scores_of_sealed(folder: TrialFolder, job: Job) -> Mapping[str, float]:
    """The scores that are told of a trial that is sealed; empty where nothing is."""
    return folder.manifest()["scores"][job.judged_on] if folder.is_done() else {}
