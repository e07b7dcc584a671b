"""One trial from folder to folder: open the data, train, write predictions, history and, last, the manifest."""

import functools
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.metrics import overall_scores
from analysis.predictions import Predictions, write_predictions
from dermtune.config import Config, DataConfig
from dermtune.data.dataset import Dataset, open_dataset
from dermtune.data.manifest import DataError
from dermtune.data.place import Place
from dermtune.ledger import TrialFolder, bill
from dermtune.origin import origin
from dermtune.plan import Trial

if TYPE_CHECKING:
    from dermtune.train import Outcome

EpochRow = Mapping[str, float]


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
    keep_model: bool = False,
) -> Mapping[str, float]:
    """The trial's test scores, after its folder holds all that it leaves behind.

    A trial that was cut off goes on from its last checkpoint. `on_notice` is told what went wrong and was got over,
    in a clause that follows the trial's name. `keep_model` leaves the trained model there as well, as no part of
    what makes a trial done. What goes wrong (Diverged, ModelError, DataError) is raised: the caller records it.
    """
    with folder.metered(gpus=gpus, usd_per_hour=usd_per_hour) as meter:
        # torch and transformers take seconds to import: a driver that only plans must not pay for them.
        from dermtune.train import History, train

        folder.clear_failure()

        def record_epoch(history: History) -> None:
            meter.keep()
            folder.write_history(history)
            on_epoch(history[-1])

        def note(what: str) -> None:
            folder.note(what)
            on_notice(what)

        data = _checked_dataset(trial, place)
        outcome = train(
            trial,
            data,
            checkpoint=folder.checkpoint,
            threads=threads,
            on_epoch=record_epoch,
            on_notice=note,
            keep_at=folder.model if keep_model else None,
        )
        scores = _write(outcome, folder)
        made_on = {**origin(), "device": outcome.device, "threads": threads, "gpus": gpus}
        about = {**_identity(trial), "quarantine": data.quarantine.counts(), "scores": scores, **made_on}
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        folder.finish({**about, **bill(meter.stop()), "finished": finished})
    return scores["test"]


def fingerprints(config: Config, data: Dataset) -> Mapping[str, str]:
    """Content hashes of what the config only names: the data and, where it is a local folder, the checkpoint."""
    found = {"data": data.fingerprint}
    checkpoint = Path(config.model.checkpoint or "").expanduser()
    if config.model.checkpoint is not None and checkpoint.is_dir():
        found["checkpoint"] = _hash_files(sorted([*checkpoint.glob("*.json"), *checkpoint.glob("*.safetensors")]))
    return found


def check_models(arms: Mapping[str, Config], classes: tuple[str, ...]) -> None:
    """Raises ModelError or ConfigError, in the driver and not once a trial, where an arm's model cannot be trained.

    By name each arm's config: the model must be had and read such images, and have what the arm's levers need.
    """
    # These take seconds to import, see `execute`.
    import transformers

    from dermtune.trainee import check_trainees

    transformers.logging.set_verbosity_error()
    check_trainees(arms, classes)


@functools.lru_cache(maxsize=2)
def _opened(config: DataConfig, place: Place) -> Dataset:
    """The dataset, read once a process: a reused actor's next trial finds it here."""
    return open_dataset(config, place)


def _checked_dataset(trial: Trial, place: Place) -> Dataset:
    dataset = _opened(trial.config.data, place)
    if dataset.fingerprint != trial.fingerprints["data"]:
        raise DataError(
            f"{place.data_dir} must hold the data that the sweep was planned on, fingerprint "
            f"{trial.fingerprints['data']}, got {dataset.fingerprint}"
        )
    return dataset


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


def _hash_files(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
