"""A trained classifier as a folder of plain files: written where it was trained, loaded where images come in."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from transformers import AutoModelForImageClassification, PreTrainedModel

from dermtune.config import Config, DataConfig
from dermtune.cosine import compare_directions
from dermtune.data.decoding import Pixels, decode
from dermtune.durable import write_json
from dermtune.model import SiglipMapClassifier
from dermtune.pixels import PixelPipeline

PREPROCESSING = "preprocessing.json"
"""File of all that the weights do not say: how an image becomes the model's input, and the classes' names."""
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """A trained model with the preprocessing that it was trained behind."""

    model: PreTrainedModel
    classes: tuple[str, ...]
    """In the order of the logits."""
    data: DataConfig
    """How an image becomes a square."""
    pixels: PixelPipeline

    def logits(self, images: Pixels) -> NDArray[np.float32]:
        """Logits [N, K] of squares of the model's size, uint8 [N, H, W, 3]."""
        with torch.inference_mode():
            logits = self.model(pixel_values=self.pixels.normalise(torch.from_numpy(images))).logits
        return np.asarray(logits.float().numpy())

    def predict(self, table: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002 MLflow's
        """Probabilities, a column a class, of the image files whose bytes stand in the column `image`."""
        images = np.stack([decode(io.BytesIO(file), self.data) for file in table["image"]])
        logits = torch.from_numpy(self.logits(images))
        return pd.DataFrame(logits.double().softmax(-1).numpy(), columns=list(self.classes))


def save_classifier(model: PreTrainedModel, config: Config, classes: tuple[str, ...], folder: Path) -> None:
    """Write `config.json`, `model.safetensors` and `preprocessing.json`; nothing in them is pickled."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    about = {
        "format": FORMAT,
        "classes": classes,
        "image_size": config.data.image_size,
        "fit": config.data.fit,
        "interpolation": config.data.interpolation,
        "pixel_mean": config.model.pixel_mean,
        "pixel_std": config.model.pixel_std,
        "pooling": config.model.pooling,
        "compares_directions": config.levers.ldam > 0,
    }
    write_json(folder / PREPROCESSING, about)


def load_classifier(folder: Path) -> Classifier:
    """The classifier that `save_classifier` wrote, on the CPU. Raises OSError or ValueError where it is none."""
    about = json.loads((folder / PREPROCESSING).read_text(encoding="utf-8"))
    if about["format"] != FORMAT:
        raise ValueError(f"{folder / PREPROCESSING} must be of format {FORMAT}, got {about['format']!r}")
    kind: Any = SiglipMapClassifier if about["pooling"] == "map" else AutoModelForImageClassification
    model = kind.from_pretrained(folder, use_safetensors=True, trust_remote_code=False)
    if about.get("compares_directions", False):
        compare_directions(model)
    return Classifier(
        model=model.eval(),
        classes=tuple(about["classes"]),
        data=DataConfig(**{name: about[name] for name in ("image_size", "fit", "interpolation")}),
        pixels=PixelPipeline(
            mean=torch.tensor(about["pixel_mean"]).view(3, 1, 1),
            std=torch.tensor(about["pixel_std"]).view(3, 1, 1),
            hflip=False,
            vflip=False,
            channels_last=False,
            seed=0,
        ),
    )


def _load_pyfunc(path: str) -> Classifier:
    """What MLflow calls to load the model: it names this module as the loader, and so unpickles nothing."""
    return load_classifier(Path(path))
