"""Metadata: read as they are, or refused in one line that names file, row and count."""

import hashlib
import os
import re
from dataclasses import replace

import pandas as pd
import pytest

from dermtune.data.manifest import DataError, fingerprint, read_manifest
from dermtune.data.place import no_progress


class Calls:
    """A progress callback that remembers its calls."""

    def __init__(self):
        self.seen = []

    def __call__(self, what, done, total):
        self.seen.append((what, done, total))


def content(config, place, progress=no_progress):
    """The fingerprint of the folder's bytes."""
    return fingerprint(read_manifest(config, place.data_dir), place, progress)


def test_metadata_become_arrays_in_the_files_order_with_classes_sorted(config, rows, write_folder):
    manifest = read_manifest(config, write_folder(rows).data_dir)
    assert manifest.classes == ("acne", "eczema")
    assert manifest.sample_id.tolist() == [row["image_id"] for row in rows]
    assert [manifest.classes[k] for k in manifest.label] == [row["label"] for row in rows]
    assert manifest.files[0] == "images/train0a.png"


def test_csv_and_parquet_say_the_same(config, rows, write_folder):
    place = write_folder(rows)
    pd.DataFrame(rows).to_parquet(place.data_dir / "metadata.parquet")
    one = read_manifest(config, place.data_dir)
    other = read_manifest(replace(config, metadata="metadata.parquet"), place.data_dir)
    for field in ("sample_id", "group_id", "label", "split"):
        assert getattr(one, field).tolist() == getattr(other, field).tolist()


def test_names_that_look_like_numbers_or_nothing_stay_names(config, rows, write_folder):
    named = [row | {"image_id": f"00{i}", "label": {"acne": "NA", "eczema": "None"}[row["label"]]}
             for i, row in enumerate(rows)]  # fmt: skip
    manifest = read_manifest(config, write_folder(named).data_dir)
    assert manifest.sample_id[7] == "007"
    assert manifest.classes == ("NA", "None")


def test_without_a_group_column_each_image_is_its_own_group(config, rows, write_folder):
    manifest = read_manifest(replace(config, group_column=None), write_folder(rows).data_dir)
    assert manifest.group_id.tolist() == manifest.sample_id.tolist()


BROKEN = {
    "an empty label": ({"label": ""}, "`label` must not be empty; 1 of 24 rows break this, the first is row 3"),
    "a NaN label": ({"label": "NaN"}, "`label` must not be empty; 1 of 24 rows break this, the first is row 3"),
    "an empty group": ({"lesion_id": None}, "`lesion_id` must not be empty; 1 of 24"),
    "a doubled image": ({"image_id": "train0a"}, "must name each image once; 1 of 24 .* row 3 ('train0a')"),
    "the same file by another name": ({"image_id": "./train0a"}, "must name each image once; 1 of 24 "),
    "an unknown split": ({"split": "dev"}, "`split` must be train, val or test; 1 of 24 .* row 3 ('dev')"),
    "a path upwards": (
        {"image_id": "../secret"},
        "must name a file inside images/; 1 of 24 .* row 3 ('../secret')",
    ),
    "a path up and down": ({"image_id": "a/../../b"}, "must name a file inside images/"),
    "an absolute path": ({"image_id": "/etc/passwd"}, "must name a file inside images/"),
    "a class only in test": ({"split": "test", "label": "rosacea"}, "must have a train image, 'rosacea' has none"),
    "a class only in val": ({"split": "val", "label": "rosacea"}, "must have a train image, 'rosacea' has none"),
    "a class never tested": ({"label": "rosacea"}, "must have a test image, 'rosacea' has none"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_row_is_named_with_its_file_and_count(case, config, rows, write_folder):
    change, message = BROKEN[case]
    place = write_folder(rows)
    rows[2] |= change
    pd.DataFrame(rows).to_csv(place.data_dir / "metadata.csv", index=False)
    pattern = re.escape(str(place.data_dir / "metadata.csv")) + ".*" + re.escape(message).replace(r"\.\*", ".*")
    with pytest.raises(DataError, match=pattern):
        read_manifest(config, place.data_dir)


def test_a_missing_metadata_file_says_how_to_name_the_folder(config, tmp_path):
    with pytest.raises(DataError, match=r"metadata.csv: the metadata file must be there; `--data`"):
        read_manifest(config, tmp_path)


def test_a_missing_column_is_named_beside_those_that_are_there(config, rows, write_folder):
    place = write_folder(rows)
    with pytest.raises(DataError, match=r"must have the column 'dx' .*; it has image_id, lesion_id, label, split"):
        read_manifest(replace(config, label_column="dx"), place.data_dir)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,b\n"1,2\n'], ids=["empty", "bytes", "open quote"])
def test_a_file_that_is_no_table_is_refused(content, config, tmp_path):
    (tmp_path / "metadata.csv").write_bytes(content)
    with pytest.raises(DataError, match="must be a readable CSV or Parquet file"):
        read_manifest(config, tmp_path)


def test_metadata_without_rows_are_refused(config, rows, write_folder):
    place = write_folder(rows)
    pd.DataFrame(rows)[:0].to_csv(place.data_dir / "metadata.csv", index=False)
    with pytest.raises(DataError, match="must have at least one row, got none"):
        read_manifest(config, place.data_dir)


@pytest.mark.parametrize("split", ["train", "test"])
def test_train_and_test_must_both_have_images(split, config, rows, write_folder):
    place = write_folder([row for row in rows if row["split"] != split])
    with pytest.raises(DataError, match=f"must have {split} images, got none"):
        read_manifest(config, place.data_dir)


def test_an_image_that_is_missing_enters_the_fingerprint_as_missing_and_changes_it_when_it_is_back(
    config, rows, write_folder
):
    place = write_folder(rows)
    image = place.data_dir / "images" / "train0a.png"
    whole = content(config, place)
    image.rename(image.with_suffix(".away"))
    without = content(config, place)
    image.write_bytes(b"")
    assert len({whole, without, content(config, place)}) == 3
    image.unlink()
    image.mkdir()
    assert content(config, place) == without, "a folder has no bytes to be known by"
    image.rmdir()
    image.with_suffix(".away").rename(image)
    assert content(config, place) == whole


def test_a_file_that_changes_while_the_folder_is_hashed_gets_no_fingerprint(config, rows, write_folder):
    place = write_folder(rows)

    def meanwhile(what, done, total):
        (place.data_dir / "images" / "train0a.png").write_bytes(b"other")

    with pytest.raises(DataError, match=r"data: must not change while it is read; a file in it did"):
        content(config, place, meanwhile)
    assert not list(place.cache_dir.rglob("*"))


def test_the_fingerprint_is_the_hash_of_metadata_and_images_in_their_order(config, rows, write_folder):
    place = write_folder(rows)
    files = [place.data_dir / "metadata.csv", *(place.data_dir / "images" / f"{r['image_id']}.png" for r in rows)]
    by_hand = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files))
    assert content(config, place) == by_hand.hexdigest()


def test_the_fingerprint_is_remembered_until_a_file_changes(config, rows, write_folder):
    place = write_folder(rows)
    image = place.data_dir / "images" / "train0a.png"
    calls = Calls()
    first = content(config, place, calls)
    assert calls.seen == [("hashing images", 24, 24)]
    assert content(config, place, calls) == first
    assert len(calls.seen) == 1, "the second call must not read the images again"
    os.utime(image, ns=(0, 0))
    assert content(config, place, calls) == first
    assert len(calls.seen) == 2, "a touched file must be read again"
    image.write_bytes((place.data_dir / "images" / "test0a.png").read_bytes())
    assert content(config, place) != first


def test_the_fingerprint_does_not_depend_on_where_the_folder_lies(config, rows, write_folder):
    place = write_folder(rows)
    first = content(config, place)
    moved = replace(place, data_dir=place.data_dir.rename(place.data_dir.with_name("elsewhere")))
    assert content(config, moved) == first
