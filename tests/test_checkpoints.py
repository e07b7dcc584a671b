"""A checkpoint counts when it is sealed and every file still is what was sealed."""

from pathlib import Path

import pytest

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
        (newest / name).write_bytes(content[:-1] if harm == "truncated" else content.replace(b"o", b"0"))
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


def test_what_is_no_checkpoint_is_passed_over(tmp_path):
    before = written(tmp_path, 6)
    (tmp_path / "checkpoint-tmp").mkdir()
    (tmp_path / "notes").mkdir()
    assert newest_whole(tmp_path, print) == before
