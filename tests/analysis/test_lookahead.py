"""Files read ahead by threads."""

import threading

import pytest

from analysis.lookahead import ahead


def test_results_come_in_the_order_of_their_items_and_no_more_than_three_are_begun_ahead():
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return item * item

    for number, result in enumerate(ahead(work, range(20))):
        assert result == number**2
        assert len(begun) <= number + 4


def test_an_error_comes_in_its_items_turn():
    results = ahead(lambda item: 1 / item, (2, 1, 0))
    assert [next(results), next(results)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_a_reader_that_stops_half_way_waits_for_nothing():
    held = threading.Event()
    results = ahead(lambda item: item or held.wait(30), (1, 1, 0, 0, 0))
    assert next(results) == 1
    results.close()  # one of the others would hold it up for half a minute
    held.set()


def test_one_of_its_own_threads_may_close_it():
    """As a garbage collection in that thread does, once an error has ended the loop that used it."""
    suspended, closed = threading.Event(), threading.Event()

    def close() -> None:
        assert suspended.wait(10)
        results.close()
        closed.set()

    results = ahead(lambda item: item(), [int, int, close])
    next(results)
    suspended.set()
    assert closed.wait(10)
