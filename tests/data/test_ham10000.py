"""HAM10000, where it is at hand: the folder as its authors describe it."""

import os
from pathlib import Path

import numpy as np
import pytest

from dermtune.data.manifest import fingerprint, read_manifest
from dermtune.data.place import Place
from dermtune.data.splits import with_val
from dermtune.recipes import ham10000

FOLDER = Path(os.environ.get("DERMTUNE_HAM10000", Path(__file__).parents[3] / "shared" / "data" / "ham10000"))
CONFIG = ham10000().config.data

pytestmark = pytest.mark.skipif(
    not (FOLDER / "metadata.csv").exists(), reason="HAM10000 is not here; DERMTUNE_HAM10000 names its folder"
)


def test_the_counts_are_those_of_the_published_splits():
    manifest = read_manifest(CONFIG, FOLDER)
    test = manifest.split == "test"
    assert manifest.classes == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert np.bincount(manifest.label[~test]).tolist() == [183, 264, 583, 60, 491, 4323, 80]
    assert np.bincount(manifest.label[test]).tolist() == [43, 93, 217, 44, 171, 909, 35]
    assert len(np.unique(manifest.group_id[test])) == 1223


def test_val_is_cut_from_train_in_every_classs_share():
    manifest = with_val(read_manifest(CONFIG, FOLDER), CONFIG.val_fraction, CONFIG.split_seed)
    val, test = manifest.split == "val", manifest.split == "test"
    counts = np.bincount(manifest.label[val])
    np.testing.assert_allclose(counts, CONFIG.val_fraction * np.bincount(manifest.label[~test]), atol=0.5)
    assert test.sum() == 1512
    assert not set(manifest.group_id[val]) & set(manifest.group_id[~val])


def test_the_bytes_are_read_once_and_then_remembered(tmp_path):
    place, manifest, seen = Place(data_dir=FOLDER, cache_dir=tmp_path), read_manifest(CONFIG, FOLDER), []

    def progress(what, done, total):
        seen.append(done)

    first = fingerprint(manifest, place, progress)
    assert seen[-1] == 7496
    seen.clear()
    assert fingerprint(manifest, place, progress) == first
    assert not seen
