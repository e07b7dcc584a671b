"""What runs in a worker: one trial, from folder to folder."""

import contextlib
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that a worker needs to run any of the trials."""

    trials: Mapping[str, Trial]
    """By trial_id."""
    folder: SweepFolder
    place: Place
    cpus: float
    gpus: float
    usd_per_hour: float | None
    execute: Execute


def run_trial(config: Mapping[str, Any], job: Job) -> None:
    """In the worker: one trial. What it raises is its result; its death and a lack of memory are Ray's affair."""
    trial = job.trials[config["trial_id"]]
    folder = job.folder.trial(trial.trial_id)
    try:
        with written_alone(folder.path):
            scores = _scores_of_sealed(folder) or job.execute(
                trial,
                job.place,
                folder,
                threads=max(1, int(job.cpus)),
                gpus=job.gpus,
                usd_per_hour=job.usd_per_hour,
                on_epoch=lambda row: tune.report({"event": "epoch", "row": dict(row)}),
                on_notice=lambda text: tune.report({"event": "notice", "text": text}),
            )
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


def _scores_of_sealed(folder: TrialFolder) -> Mapping[str, float]:
    """Test scores of a trial whose worker died between its seal and its report; empty where nothing is sealed."""
    return folder.manifest()["scores"]["test"] if folder.is_done() else {}
