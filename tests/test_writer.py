"""A trial's folder has one writer: a worker that was given up is waited for."""

import multiprocessing
import os
import signal
import time

import pytest

from dermtune.ledger import LedgerError, written_alone


def hold(trial, began):
    with written_alone(trial):
        began.set()
        time.sleep(60)


@pytest.fixture
def writer(tmp_path):
    """A process that writes to the trial."""
    context = multiprocessing.get_context("spawn")
    began = context.Event()
    process = context.Process(target=hold, args=(tmp_path / "trial", began))
    process.start()
    assert began.wait(timeout=120)
    yield process
    process.kill()
    process.join()


def test_who_comes_while_another_writes_waits_and_is_told_where_that_does_not_end(writer, tmp_path):
    with pytest.raises(LedgerError, match="must have one writer"), written_alone(tmp_path / "trial", patience=0.3):
        pass


def test_the_folder_of_a_writer_that_was_killed_is_free_at_once_and_nothing_is_left_of_the_lock(writer, tmp_path):
    os.kill(writer.pid, signal.SIGKILL)
    with written_alone(tmp_path / "trial"):
        assert [path.name for path in (tmp_path / "trial").iterdir()] == ["writer.lock"]
    assert list((tmp_path / "trial").iterdir()) == []
