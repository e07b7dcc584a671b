"""Ray ends the process of whoever frees one of its objects while it shuts down: no thread of ours may."""

import gc
import threading

import pytest
import ray

from dermtune.tuner import cluster


class Remote:
    """An object of Ray's, in a cycle as Tune's are: only the garbage collector frees it."""

    freed_by: list[str]

    def __init__(self, freed_by):
        self.freed_by, self.itself = freed_by, self

    def __del__(self):
        self.freed_by.append(threading.current_thread().name)


@pytest.fixture
def shutting_down(monkeypatch):
    """Runs `_shut_down` while another thread collects garbage in the middle of it."""

    def run(in_the_middle):
        def shutdown():
            in_the_middle()
            exporter = threading.Thread(target=gc.collect, name="exporter")
            exporter.start()
            exporter.join()

        monkeypatch.setattr(ray, "shutdown", shutdown)
        cluster._shut_down()

    return run


def test_what_is_garbage_before_is_freed_before(shutting_down):
    freed_by = []
    Remote(freed_by)
    shutting_down(lambda: freed_by.append("shutdown begins"))
    assert freed_by == ["MainThread", "shutdown begins"]


def test_what_becomes_garbage_meanwhile_is_freed_afterwards(shutting_down):
    freed_by = []
    held = [Remote(freed_by)]
    shutting_down(held.clear)
    assert freed_by == []
    gc.collect()
    assert freed_by == ["MainThread"]
