"""A file is there whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.wholefile import sync_folder, whole, write_text


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "deep" / "report.json"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError), whole(path) as partial:
        partial.write_text("half \ud800", encoding="utf-8")
    assert path.read_text() == "old"
    assert [*path.parent.iterdir()] == [path]


def test_a_writer_that_is_killed_leaves_the_old_file(tmp_path):
    path = tmp_path / "report.json"
    write_text(path, "old")
    killed = (
        "import os, signal, sys; from pathlib import Path; from analysis.wholefile import whole\n"
        "with whole(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", killed, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    (left,) = set(tmp_path.iterdir()) - {path}
    assert left.name.startswith(".report.json.")


def test_an_error_names_the_file_that_was_to_be_written_and_not_its_neighbour(tmp_path):
    path = tmp_path / "report.json"
    path.mkdir()
    with pytest.raises(OSError, match="report") as raised:
        write_text(path, "new")
    assert (raised.value.filename, raised.value.filename2) == (str(path), None)


def test_the_file_and_then_its_folder_are_on_the_disk_when_it_is_done(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())))
    write_text(tmp_path / "report.json", "new")
    file, folder = synced
    assert file.startswith(str(tmp_path / ".report.json."))
    assert folder == str(tmp_path)


def test_line_ends_are_written_as_they_are(tmp_path):
    write_text(tmp_path / "table.csv", "a\r\nb\n")
    assert (tmp_path / "table.csv").read_bytes() == b"a\r\nb\n"


def test_a_folder_that_is_gone_is_not_passed_over(tmp_path):
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "gone")
