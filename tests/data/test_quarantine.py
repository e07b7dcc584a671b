"""Images that cannot be read: left out of train by name, up to a limit; refused in val and test unless allowed."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dermtune.config import ConfigError, DataConfig
from dermtune.data.dataset import open_dataset
from dermtune.data.manifest import DataError


@pytest.fixture
def open_broken(config, rows, write_folder):
    """Opens the folder after the named images were emptied; one in ten of train may be, and what is asked for."""
    place = write_folder(rows)

    def opened(*names, **allowed):
        for name in names:
            (place.data_dir / "images" / f"{name}.png").write_bytes(b"")
        return open_dataset(replace(config, **{"max_unreadable_train": 0.1, **allowed}), place)

    opened.place = place
    return opened


def pixels(split):
    return split.images[np.arange(len(split))]


def test_an_unreadable_image_of_train_is_left_out_and_every_other_keeps_its_pixels(open_broken, rows):
    whole = open_broken()
    dataset = open_broken("train3a")
    assert [image.sample_id for image in dataset.quarantine.images] == ["train3a"]
    assert len(dataset.train) + len(dataset.val) == len(whole.train) + len(whole.val) - 1
    names = [row["image_id"] for row in rows]
    for split in (dataset.train, dataset.val, dataset.test):
        assert "train3a" not in split.sample_id
        assert pixels(split)[:, 0, 0, 0].tolist() == [names.index(name) for name in split.sample_id]


def test_a_val_split_that_is_cut_from_train_is_cut_from_what_can_be_read(open_broken):
    in_val = open_broken().val.sample_id[0]
    dataset = open_broken(in_val)  # it would be refused in a val split of the metadata's own
    assert dataset.quarantine.unreadable == {"train": 1}
    assert len(dataset.val)
    assert in_val not in [*dataset.val.sample_id, *dataset.train.sample_id]


def test_more_than_the_limit_is_refused_with_counts_names_reasons_and_what_to_do(open_broken):
    with pytest.raises(DataError) as refused:
        open_broken("train0a", "train3b", "test1a")
    assert str(refused.value) == (
        f"{open_broken.place.data_dir}: images must be readable and whole; "
        "2 of 16 train images are not, where max_unreadable_train=0.1 allows 1 and "
        "1 of 8 test images is not, where max_unreadable_eval=0 allows none: "
        "images/train0a.png (0 bytes), images/train3b.png (0 bytes), images/test1a.png (0 bytes); "
        "mend them, or take their rows out of metadata.csv"
    )


def test_the_default_allows_one_train_image_in_a_hundred_and_none_elsewhere(open_broken):
    assert (DataConfig().max_unreadable_train, DataConfig().max_unreadable_eval) == (0.01, 0.0)
    with pytest.raises(
        DataError, match=r"1 of 16 train images is not, where max_unreadable_train=0.01 allows none"
    ):
        open_broken("train0a", max_unreadable_train=0.01)


def test_a_limit_that_is_met_exactly_is_not_exceeded(open_broken):
    assert open_broken("train3a", max_unreadable_train=1 / 16).quarantine.unreadable == {"train": 1}


def test_whoever_allows_some_in_test_gets_them_left_out(open_broken):
    dataset = open_broken("test1a", "test2b", max_unreadable_eval=0.25)
    assert dataset.quarantine.unreadable == {"test": 2}
    assert dataset.quarantine.counts() == {"test": {"unreadable": 2, "listed": 8}}
    assert len(dataset.test) == 6


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (["test0a", "test0b", "test2a", "test2b"], "every class must have a test image, 'eczema' has none"),
        ([f"test{i}{v}" for i in range(4) for v in "ab"], "must have test images, got none"),
        ([f"train{i}{v}" for i in range(0, 8, 2) for v in "ab"], "must have at least two classes, got only 'acne'"),
    ],
    ids=["a class of test", "test", "a class of train"],
)
def test_what_quarantine_empties_is_refused(open_broken, broken, told):
    where = f"metadata.csv without {len(broken)} images that cannot be read: "
    nearly_all = 1 - 1e-12
    with pytest.raises(DataError, match=re.escape(where + told)):
        open_broken(*broken, max_unreadable_train=nearly_all, max_unreadable_eval=nearly_all)


def test_a_val_split_that_quarantine_empties_is_refused(config, rows, write_folder):
    rows[0]["split"] = rows[1]["split"] = "val"
    place = write_folder(rows)
    for name in ("train0a", "train0b"):
        (place.data_dir / "images" / f"{name}.png").unlink()
    with pytest.raises(DataError, match=r"without 2 images that cannot be read: must have val images, got none"):
        open_dataset(replace(config, max_unreadable_eval=1 - 1e-12), place)


def test_the_fingerprint_knows_what_was_left_out_and_changes_when_it_is_mended(open_broken):
    whole = open_broken()
    image = open_broken.place.data_dir / "images" / "train3a.png"
    sound = image.read_bytes()
    empty = open_broken("train3a")
    image.unlink()
    missing = open_broken()
    image.write_bytes(sound)
    assert len({whole.fingerprint, empty.fingerprint, missing.fingerprint}) == 3
    assert open_broken().fingerprint == whole.fingerprint
    assert not open_broken().quarantine.images


def test_another_limit_is_the_same_data(open_broken):
    strict, lax = open_broken("train3a"), open_broken(max_unreadable_train=0.5, max_unreadable_eval=0.5)
    assert strict.fingerprint == lax.fingerprint


def test_an_image_that_another_pillow_could_read_is_another_fingerprint(open_broken, monkeypatch):
    """The bytes are the same and the pictures trained on are not: two machines must not share a trial."""
    bitmap = open_broken.place.data_dir / "images" / "train3a.png"
    Image.open(bitmap).save(bitmap, "GIF")
    here = open_broken()
    monkeypatch.setattr("dermtune.data.decoding.FORMATS", ("PNG",))
    for cached in open_broken.place.cache_dir.glob("images-*"):
        cached.unlink()
    there = open_broken()
    assert there.quarantine.images
    assert here.fingerprint != there.fingerprint


def test_the_list_is_a_table_with_every_name_and_reason(open_broken):
    (open_broken.place.data_dir / "images" / "train1a.png").unlink()
    found = open_broken("train3a", max_unreadable_train=0.2).quarantine
    assert list(csv.DictReader(found.table().splitlines())) == [
        {"sample_id": "train1a", "file": "images/train1a.png", "split": "train", "reason": "missing"},
        {"sample_id": "train3a", "file": "images/train3a.png", "split": "train", "reason": "0 bytes"},
    ]
    assert found.said("runs/tiny/quarantine.csv") == (
        "images that cannot be read are left out, 2 of 16 in train: images/train1a.png (missing), "
        "images/train3a.png (0 bytes); runs/tiny/quarantine.csv lists all"
    )


def test_a_name_that_would_break_the_line_is_written_out(config, rows, write_folder):
    place = write_folder(rows)
    (place.data_dir / "images" / "train0a.png").unlink()
    rows[0]["image_id"] = "two\nlines\x1b[2J"
    (place.data_dir / "metadata.csv").write_text(
        "image_id,lesion_id,label,split\n"
        + "".join(f'"{r["image_id"]}",{r["lesion_id"]},{r["label"]},{r["split"]}\n' for r in rows)
    )
    said = open_dataset(replace(config, max_unreadable_train=0.1), place).quarantine.said()
    assert said.isprintable()
    assert r"two\nlines\x1b[2J" in said


@pytest.mark.parametrize("name", ["max_unreadable_train", "max_unreadable_eval"])
@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan"), "all"])
def test_a_limit_that_is_no_share_is_refused(name, share):
    with pytest.raises(ConfigError, match=name):
        DataConfig(**{name: share})
