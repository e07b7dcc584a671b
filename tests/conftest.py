"""A drawn data set, models that train in a fraction of a second, and trials made of them."""

import itertools
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dermtune.config import Config, DataConfig, ModelConfig, Scalar, SyntheticConfig, TrainingConfig
from dermtune.plan import Trial

if TYPE_CHECKING:
    from dermtune.data.dataset import Dataset
    from dermtune.data.place import Place
    from dermtune.train import Outcome

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub reads it: no test reaches the network

SIDE = 16
DATA = DataConfig(
    image_suffix=".png",
    group_column="lesion_id",
    image_size=SIDE,
    synthetic=SyntheticConfig(n_train=200, n_test=100, image_size=SIDE),
)
VISION = {
    "image_size": SIDE,
    "patch_size": 8,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
MODELS = {
    "siglip": ModelConfig(architecture="siglip", settings={"vision_config": VISION}),
    "resnet": ModelConfig(
        architecture="resnet",
        settings={"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    ),
}

MakeTrial = Callable[..., Trial]
Fit = Callable[..., "Outcome"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The drawn set, opened."""

    place: "Place"
    data: "Dataset"
    fingerprint: str


@pytest.fixture
def no_signal_ignored():
    """Every signal as it is by default: under `nohup` or `&` some are ignored, by all that a test starts too."""
    ignored = {n: signal.SIG_IGN for n in (signal.SIGHUP, signal.SIGINT) if signal.getsignal(n) is signal.SIG_IGN}
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in ignored.items():
        signal.signal(number, handler)


# What imports torch or reads images is imported where it is used: the tests of `analysis` run without.


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    from dermtune.data.dataset import open_dataset
    from dermtune.data.place import Place

    folder = tmp_path_factory.mktemp("drawn")
    place = Place(data_dir=folder / "data", cache_dir=folder / "cache")
    data = open_dataset(DATA, place)
    return Drawn(place=place, fingerprint=data.fingerprint, data=data)


@pytest.fixture(scope="session")
def make_trial(drawn: Drawn) -> MakeTrial:
    """A trial of two epochs of six steps, unless its arguments say otherwise."""

    def make(
        model: str | ModelConfig = "siglip",
        *,
        seed: int = 0,
        levers: Mapping[str, Scalar] | None = None,
        **training: Any,
    ) -> Trial:
        config = Config(
            data=DATA,
            model=MODELS[model] if isinstance(model, str) else model,
            training=TrainingConfig(**{"epochs": 2, "batch_size": 32, "learning_rate": 2e-3, **training}),
        )
        fingerprints = {"data": drawn.fingerprint}
        return Trial(
            arm="arm",
            levers=levers or {},
            seed=seed,
            config=config.with_levers(levers or {}),
            fingerprints=fingerprints,
        )

    return make


@pytest.fixture
def fit(drawn: Drawn, tmp_path: Path) -> Fit:
    """Trains a trial on one thread, in a checkpoint folder of its own unless one is named."""
    from dermtune.train import train

    folders = (tmp_path / f"fit{i}" for i in itertools.count())

    def run(trial: Trial, checkpoint: Path | None = None, on_epoch: Callable[[Any], None] = lambda history: None):
        return train(trial, drawn.data, checkpoint=checkpoint or next(folders), threads=1, on_epoch=on_epoch)

    return run


@pytest.fixture
def siglip_checkpoint(tmp_path: Path) -> Path:
    """A checkpoint as MedSigLIP's is stored, but small: both towers, bfloat16, safetensors."""
    import torch
    from transformers import SiglipConfig, SiglipModel

    text = {"vocab_size": 20, **{name: VISION[name] for name in VISION if name not in ("image_size", "patch_size")}}
    torch.manual_seed(5)
    model = SiglipModel(SiglipConfig(text_config={**text, "projection_size": 16}, vision_config=VISION))
    folder = tmp_path / "weights"
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder
