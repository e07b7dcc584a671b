"""Batches that are fetched ahead: the same ones, in their order, and what goes wrong is told in its turn."""

import threading
import time

import pytest
import torch

from dermtune.ahead import Ahead

CPU = torch.device("cpu")
LONG = 30.0
"""Seconds after which a test gives up waiting."""


def numbered(n: int):
    return ({"labels": torch.tensor([i])} for i in range(n))


def numbers(batches) -> list[int]:
    return [int(batch["labels"]) for batch in batches]


@pytest.mark.parametrize("depth", [1, 3, 50])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_all_batches_come_in_their_order(n, depth):
    ahead = Ahead(numbered(n), depth, CPU)
    assert numbers(ahead) == list(range(n))


def test_the_next_batches_are_fetched_while_nobody_asks_and_no_more_than_are_wanted():
    fetched, third = [], threading.Event()

    def batches():
        for i in range(10):
            fetched.append(i)
            if i == 2:
                third.set()
            yield {"labels": torch.tensor([i])}

    ahead = Ahead(batches(), 2, CPU)
    assert numbers([next(ahead)]) == [0]
    assert third.wait(LONG)
    ahead.close()  # waits for what is under way
    assert fetched == [0, 1, 2]


def test_it_knows_for_how_long_its_batches_were_waited_for():
    def slow(n, seconds=0.05):
        for batch in numbered(n):
            time.sleep(seconds)
            yield batch

    ahead, began = Ahead(slow(4), 2, CPU), time.perf_counter()
    numbers(ahead)
    assert 4 * 0.05 <= ahead.waited <= time.perf_counter() - began

    ready = Ahead(slow(2, seconds=0.5), 2, CPU)
    next(ready)
    before = ready.waited
    ready._fetched[0].result(LONG)
    next(ready)
    assert ready.waited - before < 0.5, "it lay there"


def test_the_first_batch_is_fetched_by_who_asks_and_all_others_by_one_thread():
    threads = []

    def batches():
        for i in range(5):
            threads.append(threading.current_thread())
            yield {"labels": torch.tensor([i])}

    list(Ahead(batches(), 2, CPU))
    assert threads[0] is threading.current_thread()
    assert len({*threads[1:]}) == 1
    assert threads[1] is not threads[0]


def test_what_a_fetch_raises_is_raised_behind_the_batches_before_it():
    def batches():
        yield from numbered(3)
        raise OSError("the disk is gone")

    ahead, seen = Ahead(batches(), 5, CPU), []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(numbers([batch]) for batch in ahead)
    assert seen == [[0], [1], [2]]


def test_one_that_is_left_in_the_middle_leaves_no_thread():
    before = {*threading.enumerate()}
    ahead = Ahead(numbered(100), 4, CPU)
    next(ahead)
    started = {*threading.enumerate()} - before
    assert len(started) == 1
    del ahead
    for thread in started:
        thread.join(LONG)
        assert not thread.is_alive()
