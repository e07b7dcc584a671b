"""No name in a metadata file or a sweep's folder leaves its folder."""

import json
from dataclasses import replace

import pytest

from analysis.sources import load_study
from analysis.study import SourceError
from dermtune.config import Config, DataConfig, ModelConfig, TrainingConfig
from dermtune.data.dataset import open_dataset
from dermtune.data.manifest import DataError, read_manifest
from dermtune.ledger import LedgerError, SweepFolder
from dermtune.plan import Sweep, plan
from tests.data.conftest import CONFIG, healthy_rows


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc/passwd", "a\0b"])
def test_a_metadata_row_cannot_name_a_file_outside_the_images(name, tmp_path):
    (tmp_path / "metadata.parquet").unlink(missing_ok=True)
    write_metadata(tmp_path, [healthy_rows()[0] | {"image_id": name}, *healthy_rows()[1:]])
    with pytest.raises(DataError, match="must name a file inside images/; 1 of 24 rows break this"):
        read_manifest(replace(CONFIG, metadata="metadata.parquet"), tmp_path)


def test_a_backslash_is_a_letter_of_a_name_and_leads_nowhere(tmp_path):
    write_metadata(tmp_path, [healthy_rows()[0] | {"image_id": "..\\..\\secret"}, *healthy_rows()[1:]])
    manifest = read_manifest(replace(CONFIG, metadata="metadata.parquet"), tmp_path)
    assert (tmp_path / manifest.files[0]).parent == tmp_path / "images"


def test_a_link_that_the_owner_of_the_folder_put_there_is_followed(config_and_place):
    """DVC and git-annex keep images elsewhere and link to them; metadata alone can make no link."""
    config, place = config_and_place
    image = place.data_dir / "images" / "train0a.png"
    before = open_dataset(config, place).fingerprint
    image.rename(place.data_dir.parent / "store.png")
    image.symlink_to(place.data_dir.parent / "store.png")
    assert open_dataset(config, place).fingerprint == before


def write_metadata(folder, rows):
    import pandas as pd

    pd.DataFrame(rows).to_parquet(folder / "metadata.parquet")


@pytest.fixture
def config_and_place(tmp_path):
    import numpy as np
    from PIL import Image

    from dermtune.data.place import Place

    (tmp_path / "data" / "images").mkdir(parents=True)
    write_metadata(tmp_path / "data", healthy_rows())
    for grey, row in enumerate(healthy_rows()):
        pixels = np.full((8, 8, 3), grey, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / "images" / f"{row['image_id']}.png")
    place = Place(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    return replace(CONFIG, metadata="metadata.parquet"), place


OUTSIDE = ["..", ".", "", "../../elsewhere", "/etc", "a/b", "a\0b", "a\nb", 3]


@pytest.fixture
def the_plan():
    config = Config(data=DataConfig(), model=ModelConfig(architecture="resnet"), training=TrainingConfig(epochs=1))
    sweep = Sweep(name="tiny", grid={"focal_gamma": (0.0, 2.0)}, baseline={"focal_gamma": 0.0}, seeds=(0,))
    return plan(sweep, config, recipe="tiny", fingerprints={"data": "f00"})


@pytest.mark.parametrize("trial_id", OUTSIDE)
def test_a_trial_id_in_a_sweeps_folder_cannot_lead_out_of_it(trial_id, the_plan, tmp_path):
    folder = SweepFolder(tmp_path / "runs" / "tiny-tiny")
    folder.write_plan(the_plan, "")
    asked = json.loads((folder.path / "sweep.json").read_text())
    asked["trials"][0]["trial_id"] = trial_id
    (folder.path / "sweep.json").write_text(json.dumps(asked))
    with pytest.raises(LedgerError, match=r"sweep\.json must hold what was asked"):
        folder.write_plan(the_plan, "")
    with pytest.raises(SourceError):
        load_study(folder.path)
