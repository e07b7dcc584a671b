"""A checkpoint counts when it is sealed and every file still is what was sealed."""

from pathlib import Path

import pytest

from dermtune import checkpoints
from dermtune.checkpoints import SEAL, is_whole, newest_whole, seal


def written(folder: Path, step: int, *, sealed: bool = True) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt"):
        (checkpoint / name).write_bytes(f"{name} at {step}".encode())
    if sealed:
        seal(checkpoint)
    return checkpoint


def test_the_newest_is_the_one_of_the_latest_step_and_not_of_the_last_name(tmp_path):
    steps = [written(tmp_path, step) for step in (90, 100, 9)]
    assert newest_whole(tmp_path, print) == steps[1]


def test_there_is_none_before_the_first_epoch(tmp_path):
    assert newest_whole(tmp_path, print) is None
    assert newest_whole(tmp_path / "never made", print) is None


def test_a_checkpoint_that_was_cut_off_before_its_seal_does_not_count(tmp_path):
    before = written(tmp_path, 6)
    written(tmp_path, 12, sealed=False)
    assert newest_whole(tmp_path, print) == before


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", SEAL])
@pytest.mark.parametrize("harm", ["truncated", "changed", "gone"])
def test_a_checkpoint_with_a_file_that_is_truncated_changed_or_gone_does_not_count(tmp_path, name, harm):
    before, newest = written(tmp_path, 6), written(tmp_path, 12)
    content = (newest / name).read_bytes()
    if harm == "gone":
        (newest / name).unlink()
    else:
        half = content[: len(content) // 2]
        (newest / name).write_bytes(half if harm == "truncated" else content.replace(b"o", b"0"))
    assert not is_whole(newest)
    assert newest_whole(tmp_path, print) == before


def test_a_seal_that_is_only_half_renamed_is_none(tmp_path):
    checkpoint = written(tmp_path, 6)
    (checkpoint / SEAL).rename(checkpoint / f".{SEAL}")
    assert not is_whole(checkpoint)


def test_a_checkpoint_written_anew_at_the_same_step_is_sealed_anew(tmp_path):
    checkpoint = written(tmp_path, 6)
    (checkpoint / "model.safetensors").write_bytes(b"trained again")
    assert not is_whole(checkpoint)
    seal(checkpoint)
    assert is_whole(checkpoint)


def test_a_damaged_checkpoint_is_told_and_makes_room_for_the_one_that_is_written_anew(tmp_path):
    written(tmp_path, 6)
    damaged, cut_off = written(tmp_path, 12), written(tmp_path, 18, sealed=False)
    (damaged / "optimizer.pt").write_bytes(b"altered")
    told = []
    newest_whole(tmp_path, told.append)
    assert told == ["has a damaged checkpoint-12, it goes on from checkpoint-6"]
    assert not damaged.exists()
    assert not cut_off.exists()


def test_without_a_whole_one_it_is_told_that_nothing_is_left(tmp_path):
    for step in (6, 12):
        (written(tmp_path, step) / "optimizer.pt").unlink()
    told = []
    assert newest_whole(tmp_path, told.append) is None
    assert told == [f"has a damaged checkpoint-{step}, it starts from scratch" for step in (12, 6)]


def test_a_seal_is_written_after_the_files_are_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(
        checkpoints, "sync_file", lambda path: synced.append((path.name, (path.parent / SEAL).exists()))
    )
    written(tmp_path, 6)
    assert synced == [("model.safetensors", False), ("optimizer.pt", False)]


def test_what_is_no_checkpoint_is_passed_over(tmp_path):
    before = written(tmp_path, 6)
    (tmp_path / "checkpoint-tmp").mkdir()
    (tmp_path / "notes").mkdir()
    assert newest_whole(tmp_path, print) == before
