"""Small data folders to read, and to break."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermtune.config import DataConfig
from dermtune.data.place import Place

Row = Mapping[str, object]

CONFIG = DataConfig(image_suffix=".png", group_column="lesion_id", image_size=8)


def healthy_rows() -> list[dict[str, object]]:
    """Two classes, two photographs a lesion, eight lesions in train and four in test."""
    return [
        {
            "image_id": f"{split}{lesion}{view}",
            "lesion_id": f"{split}{lesion}",
            "label": ("eczema", "acne")[lesion % 2],
            "split": split,
        }
        for split, lesions in (("train", 8), ("test", 4))
        for lesion in range(lesions)
        for view in "ab"
    ]


@pytest.fixture
def config() -> DataConfig:
    return CONFIG


@pytest.fixture
def rows() -> list[dict[str, object]]:
    return healthy_rows()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


@pytest.fixture
def write_folder(place: Place) -> Callable[[Sequence[Row]], Place]:
    """Writes metadata and a differently grey image for each row."""

    def write(rows: Sequence[Row]) -> Place:
        (place.data_dir / "images").mkdir(parents=True)
        pd.DataFrame(rows).to_csv(place.data_dir / "metadata.csv", index=False)
        for grey, row in enumerate(rows):
            pixels = np.full((8, 8, 3), grey, dtype=np.uint8)
            Image.fromarray(pixels).save(place.data_dir / "images" / f"{row['image_id']}.png")
        return place

    return write
