"""A trial's images as its process has them: read once, and those that the sweep was planned on."""

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

from dermtune.config import Config, DataConfig
from dermtune.data.dataset import Dataset, open_dataset
from dermtune.data.manifest import DataError
from dermtune.data.place import Place
from dermtune.plan import Trial


@functools.lru_cache(maxsize=2)
def _opened(config: DataConfig, place: Place) -> Dataset:
    """The dataset, read once a process: a reused actor's next trial finds it here."""
    return open_dataset(config, place)


def checked_dataset(trial: Trial, place: Place) -> Dataset:
    """The trial's images. Raises DataError where they are others than those that it was planned on."""
    dataset = _opened(trial.config.data, place)
    if dataset.fingerprint != trial.fingerprints["data"]:
        raise DataError(
            f"{place.data_dir} must hold the data that the sweep was planned on, fingerprint "
            f"{trial.fingerprints['data']}, got {dataset.fingerprint}"
        )
    return dataset


def fingerprints(config: Config, data: Dataset) -> Mapping[str, str]:
    """Content hashes of what the config only names: the data and, where it is a local folder, the checkpoint."""
    found = {"data": data.fingerprint}
    checkpoint = Path(config.model.checkpoint or "").expanduser()
    if config.model.checkpoint is not None and checkpoint.is_dir():
        found["checkpoint"] = _hash_files(sorted([*checkpoint.glob("*.json"), *checkpoint.glob("*.safetensors")]))
    return found


def _hash_files(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
