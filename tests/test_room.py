"""What a full disk looks like to each library that writes, and what the missing trials need."""

import errno

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from dermtune.durable import write_text
from dermtune.ledger import Diverged, SweepFolder
from dermtune.room import Room, amount, full_disk, lacks_room, room, unwritten
from tests.small_disk import small_disk

WRITERS = {
    "torch": lambda path: torch.save({"weights": torch.zeros(1000, 1000)}, path),
    "safetensors": lambda path: safetensors.torch.save_file({"weights": torch.zeros(1000, 1000)}, path),
    "parquet": lambda path: pq.write_table(pa.table({"logit": list(range(1_000_000))}), path),
    "python": lambda path: path.write_bytes(b"0" * 10_000_000),
    "ours": lambda path: write_text(path, "0" * 10_000_000),
}


@pytest.mark.parametrize("library", WRITERS)
def test_a_full_disk_is_known_by_what_each_library_raises(tmp_path, library):
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        with pytest.raises(Exception, match=r".") as raised:
            WRITERS[library](disk.path / "file")
        assert lacks_room(raised.value, disk.path)


def test_an_error_on_a_disk_with_room_is_another_error(tmp_path):
    assert not lacks_room(ValueError("an image must have three channels, got 4"), tmp_path)
    assert not lacks_room(OSError(errno.EACCES, "Permission denied"), tmp_path)
    assert not lacks_room(RuntimeError("shapes cannot be multiplied"), tmp_path)


def test_a_trial_that_diverges_on_a_full_disk_has_diverged(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        disk.fill(leaving=0)
        assert not lacks_room(Diverged("training loss is nan in epoch 2"), disk.path)


def test_a_spent_quota_is_a_full_disk_and_so_is_one_behind_another_error(tmp_path):
    spent = OSError(errno.EDQUOT, "Disk quota exceeded")
    assert lacks_room(spent, tmp_path)
    behind = RuntimeError("the checkpoint cannot be written")
    behind.__cause__ = spent
    assert lacks_room(behind, tmp_path)


def test_the_disk_that_is_named_is_the_sweeps_unless_the_file_lies_elsewhere(tmp_path):
    sweep = tmp_path / "sweep"
    assert full_disk(RuntimeError("unexpected pos 576 vs 534"), sweep) == f"the disk of {sweep} is full"
    inside = OSError(errno.ENOSPC, "No space left on device", str(sweep / "trials" / "a" / "val.parquet"))
    assert full_disk(inside, sweep) == f"the disk of {sweep} is full"
    outside = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "cache" / "images.npy"))
    assert full_disk(outside, sweep) == f"the disk of {tmp_path / 'cache'} is full"


def test_what_the_driver_cannot_write_is_told_in_a_clause(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "sweep.json"))
    assert unwritten(full).startswith(f"the disk of {tmp_path} is full: ")
    forbidden = OSError(errno.EACCES, "Permission denied", "/root/x")
    assert unwritten(forbidden) == "[Errno 13] Permission denied: '/root/x'"


def test_missing_trials_need_what_the_done_ones_take_and_one_trial_its_checkpoints(tmp_path):
    folder = SweepFolder(tmp_path)
    for name, n_bytes in (("a", 1000), ("b", 3000)):
        write_text(folder.trial(name).path / "test.parquet", "0" * n_bytes)
    there = room(folder, {"a": {"checkpoint_bytes": 400}, "b": {}}, n_missing=5)
    assert (there.kept, there.under_way) == (10_000, 600)
    assert not there.is_short


def test_before_any_trial_is_done_the_checkpoints_that_are_there_are_measured(tmp_path):
    folder = SweepFolder(tmp_path)
    assert (room(folder, {}, 4).kept, room(folder, {}, 4).under_way) == (0, 0)
    write_text(folder.trial("a").checkpoint / "checkpoint-6" / "model.safetensors", "0" * 1000)
    assert room(folder, {}, 4).under_way == 1500


def test_room_is_short_only_where_that_is_known():
    assert not Room(free=5, kept=0, under_way=0).is_short
    assert Room(free=5, kept=2, under_way=4).is_short
    said = str(Room(free=3 * 10**9, kept=40 * 10**6, under_way=31 * 10**9))
    assert said == "3 GB free, what is missing needs about 40 MB, a trial under way needs about 31 GB"


@pytest.mark.parametrize(
    ("n_bytes", "said"), [(0, "0 kB"), (640_000, "640 kB"), (1.23e9, "1.23 GB"), (4e12, "4 TB")]
)
def test_amounts_are_said_in_their_unit(n_bytes, said):
    assert amount(n_bytes) == said


def test_a_folder_that_is_not_there_yet_lies_on_its_parents_disk(tmp_path):
    assert room(SweepFolder(tmp_path / "not" / "there"), {}, 1).free > 0
