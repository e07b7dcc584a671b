"""What runs in a worker: one trial, from folder to folder."""

import contextlib
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ray import tune

from dermtune.data.place import Place
from dermtune.ledger import Diverged, SweepFolder, TrialFolder, written_alone
from dermtune.plan import Trial
from dermtune.room import full_disk, lacks_room
from dermtune.tuner.memory import lacks_memory


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
    ) -> Mapping[str, float]:
        """Train the trial."""


JudgedOn = Literal["test", "val"]

TrialOf = Callable[[Mapping[str, Any]], Trial]
"""The trial that Tune runs, of the config that Tune has for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that a worker needs to run any of the trials."""

    trial_of: TrialOf
    folder: SweepFolder
    place: Place
    cpus: float
    gpus: float
    usd_per_hour: float | None
    execute: Execute
    judged_on: JudgedOn
    """Split whose scores are told: a search sees no other than val."""


def run_trial(config: Mapping[str, Any], job: Job) -> None:
    """In the worker: one trial. What it raises is its result; its death and a lack of memory are Ray's affair."""
    trial = job.trial_of(config)
    folder = job.folder.trial(trial.trial_id)
    try:
        with written_alone(folder.path):
            if not folder.is_done():  # its worker may have died between its seal and its report
                _execute(trial, folder, job)
            scores = folder.manifest()["scores"][job.judged_on]
    except Exception as error:
        if lacks_room(error, job.folder.path):
            tune.report({"event": "full disk", "what": full_disk(error, job.folder.path)})  # the next trial's too
            return
        reason = " ".join(str(error).split()) or type(error).__name__
        if lacks_memory(error):
            tune.report({"event": "out of memory", "said": reason})
            raise  # so that Ray tries again, in a new process
        with contextlib.suppress(OSError):  # the reason is reported all the same
            folder.fail("diverged" if isinstance(error, Diverged) else "failed", reason, traceback.format_exc())
        tune.report({"event": "failed", "reason": reason})
    else:
        tune.report({"event": "finished", "scores": dict(scores)})


def _execute(trial: Trial, folder: TrialFolder, job: Job) -> None:
    epochs = trial.config.training.epochs
    job.execute(
        trial,
        job.place,
        folder,
        threads=max(1, int(job.cpus)),
        gpus=job.gpus,
        usd_per_hour=job.usd_per_hour,
        on_epoch=lambda row: tune.report({"event": "epoch", "row": dict(row), "epochs": epochs}),
        on_notice=lambda text: tune.report({"event": "notice", "text": text}),
    )
