"""Images that are truncated, no image, missing or empty: left out of train by name, refused in val and test."""

import csv
import json
import os
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.tiny_sweep import RECIPE, TinySweep


def limits(**allowed):
    """The recipe that allows more to be left out."""
    said = "".join(f"{name}={share}, " for name, share in allowed.items())
    return RECIPE.replace("DataConfig(", f"DataConfig({said}")


BREAK = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-60]),
    "no image": lambda path: path.write_text("<html>404</html>"),
    "0 bytes": lambda path: path.write_bytes(b""),
    "missing": Path.unlink,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path.name)),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}
"""What happens to image files."""
REASONS = {
    "truncated": "image file is truncated",
    "no image": "no image in a format that is read",
    "0 bytes": "0 bytes",
    "missing": "missing",
    "a folder": "Is a directory",
    "a link to itself": "Too many levels of symbolic links",
    "a pipe": "no regular file",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A sweep of one seed whose images are its own to break, drawn and not yet trained."""
    here = tmp_path_factory.mktemp("bad")
    sweep = TinySweep.written(here / "here", here / "shared", recipe=limits(max_unreadable_train=0.05))
    assert sweep.run("--seeds", "1", "--dry-run").returncode == 0
    return sweep


def of_split(sweep, split):
    """The image files of a split, in the metadata's order."""
    with (sweep.shared / "data" / "metadata.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    return [sweep.shared / "data" / "images" / f"{row['image_id']}.png" for row in rows]


@pytest.fixture(scope="module")
def left_out(drawn):
    """The sweep after seven of its 200 training images were broken, each in another way, and it was run."""
    broken = dict(zip(of_split(drawn, "train")[::20], BREAK, strict=False))
    for path, how in broken.items():
        BREAK[how](path)
    return drawn, {path.stem: how for path, how in broken.items()}, drawn.run("--seeds", "1", seconds=500)


def test_a_sweep_trains_without_the_images_of_train_that_cannot_be_read(left_out):
    sweep, _, done = left_out
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout
    assert len(sweep.trials()) == 2


def test_one_line_at_the_start_says_how_many_which_and_where_the_list_is(left_out):
    _, broken, done = left_out
    (line,) = [line for line in done.stdout.splitlines() if "cannot be read" in line]
    first = next(iter(broken))
    assert line.startswith(
        f"images that cannot be read are left out, 7 of 200 in train: images/{first}.png (image file is truncated"
    )
    assert line.endswith(", ...; runs/tiny-tiny/quarantine.csv lists all")


def test_the_list_names_every_one_with_its_reason(left_out):
    sweep, broken, _ = left_out
    with (sweep.folder / "quarantine.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sample_id"] for row in rows] == list(broken)
    assert {row["split"] for row in rows} == {"train"}
    for row in rows:
        assert row["reason"].startswith(REASONS[broken[row["sample_id"]]]), row
        assert row["file"] == f"images/{row['sample_id']}.png"


def test_every_manifest_and_the_report_count_them(left_out):
    sweep, _, _ = left_out
    for manifest in sweep.trials().values():
        assert manifest["quarantine"] == {"train": {"unreadable": 7, "listed": 200}}
    said = "7 of 200 training images could not be read and were left out, see quarantine.csv"
    assert said in json.loads((sweep.folder / "report" / "report.json").read_text())["problems"]
    assert said in (sweep.folder / "report" / "report.md").read_text()


def test_no_trial_saw_one_and_all_trials_saw_the_same(left_out):
    sweep, broken, _ = left_out
    seen = {
        split: {tuple(pq.read_table(f, columns=["sample_id"])["sample_id"].to_pylist()) for f in files}
        for split in ("val", "test")
        if (files := list(sweep.folder.glob(f"trials/*/{split}.parquet")))
    }
    assert {split: len(lists) for split, lists in seen.items()} == {"val": 1, "test": 1}
    assert not broken.keys() & {name for lists in seen.values() for of_trial in lists for name in of_trial}


def test_the_same_command_runs_nothing_again_and_a_mended_image_is_other_data(left_out):
    sweep, broken, _ = left_out
    again = sweep.run("--seeds", "1", seconds=500)
    assert (again.returncode, len(sweep.trials())) == (0, 2), again.stdout
    mended = sweep.shared / "data" / "images" / f"{next(iter(broken))}.png"
    mended.write_bytes(of_split(sweep, "test")[0].read_bytes())
    planned = sweep.run("--seeds", "1", "--dry-run")
    assert "6 of 200 in train" in planned.stdout
    assert re.search(r"^in all +0 +2 ", planned.stdout, re.MULTILINE), "none is done, two are to run"


def refused(sweep):
    """The one line with which the sweep refuses, after it began nothing."""
    done = sweep.run("--seeds", "1", seconds=500)
    assert done.returncode == 2, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("dermtune-sweep: ")]
    assert "Traceback" not in done.stdout
    return line


def test_more_than_a_hundredth_of_train_and_any_of_test_are_refused(left_out, tmp_path):
    sweep, _, _ = left_out
    default = TinySweep.written(tmp_path / "default", sweep.shared)
    line = refused(default)
    assert "6 of 200 train images are not, where max_unreadable_train=0.01 allows 2: images/" in line
    assert line.endswith("mend them, or take their rows out of metadata.csv")
    test = of_split(sweep, "test")[5]
    whole = test.read_bytes()
    test.write_bytes(whole[:-60])
    try:
        said = refused(sweep)
        assert f"1 of 100 test images is not, where max_unreadable_eval=0 allows none: images/{test.name} (" in said
        lax = TinySweep.written(
            tmp_path / "lax", sweep.shared, recipe=limits(max_unreadable_train=0.05, max_unreadable_eval=0.01)
        )
        planned = lax.run("--seeds", "1", "--dry-run")
        assert planned.returncode == 0, planned.stdout
        assert "6 of 200 in train and 1 of 100 in test" in planned.stdout
    finally:
        test.write_bytes(whole)
    assert not default.folder.exists()
