"""Hashes that are not reckoned twice, and never told of bytes that are no longer there."""

import os
import time

import pytest

from dermtune import durable
from dermtune.durable import sha256, sha256_since_changed


@pytest.fixture
def read(monkeypatch):
    """The files whose bytes were read to be hashed, in their order."""
    paths = []

    def noted(path):
        paths.append(path)
        return sha256(path)

    monkeypatch.setattr(durable, "sha256", noted)
    return paths


@pytest.fixture
def later(monkeypatch):
    """A minute has passed, as far as anybody can tell by the clock."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 60 * 10**9)


def test_a_file_that_stays_as_it_is_is_read_once(tmp_path, read, later):
    path = tmp_path / "test.parquet"
    path.write_bytes(b"predictions")
    assert {sha256_since_changed(path) for _ in range(3)} == {sha256(path)}
    assert read == [path]


def test_bytes_that_were_altered_are_seen_though_length_and_times_were_put_back(tmp_path, read, later):
    path = tmp_path / "test.parquet"
    path.write_bytes(b"predictions")
    before, status = sha256_since_changed(path), path.stat()
    time.sleep(0.02)  # two ticks of a file system's clock
    path.write_bytes(b"predictiOns")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert sha256_since_changed(path) == sha256(path) != before


def test_a_file_that_takes_anothers_name_is_another_file(tmp_path, read, later):
    path, other = tmp_path / "test.parquet", tmp_path / "other"
    path.write_bytes(b"predictions")
    other.write_bytes(b"predictiOns")
    before = sha256_since_changed(path)
    other.replace(path)
    assert sha256_since_changed(path) == sha256(path) != before


def test_what_changed_a_moment_ago_is_read_again_for_its_times_may_not_tell(tmp_path, read):
    path = tmp_path / "test.parquet"
    path.write_bytes(b"predictions")
    assert sha256_since_changed(path) == sha256_since_changed(path)
    assert read == [path, path]


def test_a_file_that_is_gone_is_told_as_such(tmp_path, read, later):
    path = tmp_path / "test.parquet"
    path.write_bytes(b"predictions")
    sha256_since_changed(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        sha256_since_changed(path)
