"""One trial from folder to folder: open the data, train, write predictions, history and, last, the manifest."""

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from analysis.metrics import overall_scores
from analysis.predictions import Predictions, write_predictions
from dermtune.config import Config
from dermtune.crew import Crew, Gather, no_others
from dermtune.data.dataset import Dataset
from dermtune.data.place import Place
from dermtune.frozen.bundles import Unfit, hindrance
from dermtune.ledger import Diverged, Meter, TrialFolder, bill
from dermtune.opened import checked_dataset
from dermtune.origin import origin
from dermtune.plan import Trial
from dermtune.recipes import MicroBatch

if TYPE_CHECKING:
    from dermtune.train import History, Outcome

EpochRow = Mapping[str, float]

OnEnd = Callable[[Trial, Mapping[str, float] | Diverged], None]
"""Told a trial's test scores, or how it diverged."""


def execute(
    trial: Trial,
    place: Place,
    folder: TrialFolder,
    *,
    threads: int,
    gpus: float,
    usd_per_hour: float | None = None,
    on_epoch: Callable[[EpochRow], None],
    on_notice: Callable[[str], None],
    on_images: bool = False,
    keep_model: bool = False,
    gather: Gather = no_others,
    micro_batch: MicroBatch = None,
) -> Mapping[str, float]:
    """The trial's test scores, after its folder holds all that it leaves behind.

    A trial that was cut off goes on from its last checkpoint. `on_notice` is told what went wrong and was got over,
    in a clause that follows the trial's name. `on_images` says that the model is known to be Unfit for kept
    features, else that is found out here, as a part of the same attempt. `keep_model` leaves the trained model
    there as well, as no part of what makes a trial done. `gather` calls the processes that train it with this one,
    `micro_batch` is what a forward pass holds here: a head on kept features has no use for either. What goes wrong
    (Diverged, ModelError, DataError) is raised: the caller records it.
    """
    with folder.metered(gpus=gpus, usd_per_hour=usd_per_hour) as meter:
        folder.clear_failure()
        ours = _Attempted(trial, folder, meter)
        how = _How(
            place=place,
            threads=threads,
            gpus=gpus,
            keep_model=keep_model,
            gather=gather,
            micro_batch=micro_batch,
        )
        if not on_images and hindrance(trial.config) is None:
            ended: list[Mapping[str, float] | Diverged] = []
            with contextlib.suppress(Unfit):
                _train_on_features(
                    (ours,),
                    how,
                    on_epoch=lambda rows: on_epoch(rows[trial.trial_id]),
                    on_notice=lambda _, what: on_notice(what),
                    on_end=lambda _, result: ended.append(result),
                )
                return _or_raised(ended[0])
        return _train_on_images(ours, how, on_epoch=on_epoch, on_notice=on_notice)


def execute_together(
    trials: Sequence[Trial],
    place: Place,
    folders: Mapping[str, TrialFolder],
    *,
    threads: int,
    gpus: float,
    usd_per_hour: float | None = None,
    on_epoch: Callable[[Mapping[str, EpochRow]], None],
    on_notice: Callable[[Trial, str], None],
    on_end: OnEnd,
    keep_model: bool = False,
) -> None:
    """Train the heads of a bundle (`dermtune.frozen.bundles`) in one program.

    Each folder, by trial_id, then holds all that its trial leaves behind, and a like share of the time. `on_epoch`
    is told the last rows by trial_id, `on_end` each trial's test scores or how it diverged. What ends them all is
    raised, Unfit where they must be trained on images. A bundle that was cut off starts again from nothing.
    """
    with contextlib.ExitStack() as all_of_them:
        attempts = {}
        for trial_id, folder in folders.items():
            metered = folder.metered(gpus=gpus, usd_per_hour=usd_per_hour, share=1 / len(trials))
            attempts[trial_id] = all_of_them.enter_context(_Attempt(metered))
            folder.clear_failure()

        def end(trial: Trial, result: Mapping[str, float] | Diverged) -> None:
            attempts[trial.trial_id].end(result if isinstance(result, Diverged) else None)
            on_end(trial, result)

        _train_on_features(
            [_Attempted(t, folders[t.trial_id], attempts[t.trial_id].meter) for t in trials],
            _How(place=place, threads=threads, gpus=gpus, keep_model=keep_model),
            on_epoch=on_epoch,
            on_notice=on_notice,
            on_end=end,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _How:
    """On what trials are trained, and what is kept of them."""

    place: Place
    threads: int
    gpus: float
    keep_model: bool
    gather: Gather = no_others
    micro_batch: MicroBatch = None


@dataclass(frozen=True, slots=True)
class _Attempted:
    """One trial, and where what it leaves behind and what it takes are written."""

    trial: Trial
    folder: TrialFolder
    meter: Meter


class _Attempt(contextlib.AbstractContextManager["_Attempt"]):
    """The metered attempt at one trial of several: it ends by itself, or with what ends them all."""

    def __init__(self, metered: contextlib.AbstractContextManager[Meter]) -> None:
        self._open = contextlib.ExitStack()
        self.meter = self._open.enter_context(metered)

    def end(self, error: BaseException | None = None) -> None:
        """Write how it ended; nothing where it has already."""
        self._open.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.end(error)


def _or_raised(result: Mapping[str, float] | Diverged) -> Mapping[str, float]:
    if isinstance(result, Diverged):
        raise result
    return result


def _train_on_features(
    bundle: Sequence[_Attempted],
    how: _How,
    *,
    on_epoch: Callable[[Mapping[str, EpochRow]], None],
    on_notice: Callable[[Trial, str], None],
    on_end: OnEnd,
) -> None:
    """Train a bundle's heads, one or several; each is sealed before the next one's model is written."""
    from dermtune.device import keep_to_share  # takes seconds to import, see `_train_on_images`
    from dermtune.frozen.training import train_bundle

    first = bundle[0]
    by_id = {ours.trial.trial_id: ours for ours in bundle}

    def record_epoch(histories: "Mapping[str, History]") -> None:
        for ours in bundle:
            # A checkpoint is of a version that trained heads on images: nothing goes on from it any more.
            shutil.rmtree(ours.folder.checkpoint, ignore_errors=True)
        if len(bundle) == 1:  # one that is stopped early keeps what it has; many are over in seconds
            first.folder.write_history(histories[first.trial.trial_id])
        on_epoch({trial_id: history[-1] for trial_id, history in histories.items()})

    data = checked_dataset(first.trial, how.place)
    keep_to_share(how.gpus)
    outcomes = train_bundle(
        [ours.trial for ours in bundle],
        data,
        how.place,
        threads=how.threads,
        on_epoch=record_epoch,
        on_progress=lambda what: on_notice(first.trial, what),
        keep_at={trial_id: ours.folder.model for trial_id, ours in by_id.items()} if how.keep_model else None,
    )
    for trial, outcome in outcomes:
        if isinstance(outcome, Diverged):
            on_end(trial, outcome)
        else:
            on_end(trial, _finish(by_id[trial.trial_id], outcome, data, how))


def _train_on_images(
    ours: _Attempted, how: _How, *, on_epoch: Callable[[EpochRow], None], on_notice: Callable[[str], None]
) -> Mapping[str, float]:
    """What `execute` gives, by way of the whole model and images."""
    # torch and transformers take seconds to import: a driver that only plans must not pay for them.
    from dermtune.device import keep_to_share
    from dermtune.microbatch import Memory, micro_batch_for
    from dermtune.train import History, train

    def record_epoch(history: History) -> None:
        ours.meter.keep()
        ours.folder.write_history(history)
        on_epoch(history[-1])

    def note(what: str) -> None:
        ours.folder.note(what)
        on_notice(what)

    data, config = checked_dataset(ours.trial, how.place), ours.trial.config
    keep_to_share(how.gpus)
    held = micro_batch_for(how.micro_batch, config, data.classes, how.place, Memory.of_gpu(how.gpus))
    with how.gather(ours.trial, how.place, ours.folder.checkpoint, held) as crew:
        outcome = train(
            ours.trial,
            data,
            checkpoint=ours.folder.checkpoint,
            threads=how.threads,
            on_epoch=record_epoch,
            on_notice=note,
            keep_at=ours.folder.model if how.keep_model else None,
            micro_batch=held,
            crew=crew,
        )
    return _finish(ours, outcome, data, how)


def _finish(ours: _Attempted, outcome: "Outcome", data: Dataset, how: _How) -> Mapping[str, float]:
    """The trial's test scores, after history, predictions and, last, its manifest are in the folder."""
    scores = _write(outcome, ours.folder)
    made_on = {**origin(), "device": outcome.device, "threads": how.threads, "gpus": how.gpus}
    made_on["processes"] = outcome.processes
    if outcome.frozen_features is not None:
        made_on["frozen_features"] = outcome.frozen_features
    if outcome.micro_batch is not None:
        made_on["micro_batch"] = outcome.micro_batch
    if not outcome.deterministic:
        made_on["deterministic"] = False
    about = {**_identity(ours.trial), "quarantine": data.quarantine.counts(), "scores": scores, **made_on}
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    ours.folder.finish({**about, **bill(ours.meter.stop()), "finished": finished})
    return scores["test"]


def check_models(
    arms: Mapping[str, Config], classes: tuple[str, ...], micro_batch: MicroBatch = None, processes: int = 1
) -> None:
    """Raises ModelError or ConfigError, in the driver and not once a trial, where an arm's model cannot be trained.

    By name each arm's config: the model must be had and read such images, and have what the arm's levers need, a
    forward pass must be able to hold what is asked for, and so many processes to train it together.
    """
    # These take seconds to import, see `execute`.
    import transformers

    from dermtune.crewtrainer import check_shareable
    from dermtune.trainee import check_trainees

    transformers.logging.set_verbosity_error()
    check_trainees(arms, classes, micro_batch)
    for config in arms.values() if processes > 1 else ():
        if hindrance(config) is not None:  # else one process trains its head, whatever else is reserved
            check_shareable(config, classes, Crew(processes=processes))


def _write(outcome: "Outcome", folder: TrialFolder) -> Mapping[str, Mapping[str, float]]:
    """Its scores by split, after history and predictions are in the folder."""
    folder.write_history(outcome.history)  # an attempt cut off behind its last checkpoint left the last row out
    write_predictions(folder.predictions("val"), outcome.val)
    write_predictions(folder.predictions("test"), outcome.test)
    return {"val": _scores(outcome.val), "test": _scores(outcome.test)}


def _identity(trial: Trial) -> dict[str, Any]:
    return {
        "trial_id": trial.trial_id,
        "arm": trial.arm,
        "levers": dict(trial.levers),
        "seed": trial.seed,
        "config": trial.config.to_dict(),
        "fingerprints": dict(trial.fingerprints),
    }


def _scores(predictions: Predictions) -> dict[str, float]:
    return dict(overall_scores(predictions.label, predictions.probabilities))
