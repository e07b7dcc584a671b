"""A trial's images as its process has them: read once, and those that the sweep was planned on."""

import functools

from dermtune.config import DataConfig
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
