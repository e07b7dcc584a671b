"""The clock that limits go by."""

import time

import pytest

from infra.watchdog.clock import Clock, steady


class Times:
    """The time of day, and the steady clock, as a test sets them."""

    def __init__(self):
        self.wall, self.steady, self.said = 1000.0, 7.0, []

    def clock(self):
        return Clock(self.said.append, wall=lambda: self.wall, steady=lambda: self.steady)

    def passes(self, seconds, *, of_wall=None):
        self.steady += seconds
        self.wall += seconds if of_wall is None else of_wall


@pytest.fixture
def times():
    return Times()


def test_a_clock_that_is_set_back_defers_no_limit(times):
    clock = times.clock()
    times.passes(30, of_wall=30 - 7200)
    assert clock() == 1030
    times.passes(30)
    assert clock() == 1060
    assert times.said == ["the time of this computer was set -7200 s; limits strike no later for it"]


def test_a_computer_that_slept_has_missed_no_time(times):
    """Its steady clock may have stood still meanwhile; its time of day has not."""
    clock = times.clock()
    times.passes(1, of_wall=3600)
    assert clock() == 4600


def test_it_follows_the_time_of_day_and_says_nothing_of_small_corrections(times):
    clock = times.clock()
    for _ in range(100):
        times.passes(30, of_wall=30.02)
        clock()
    assert clock() == pytest.approx(times.wall)
    assert times.said == []


def test_the_real_clock_is_the_time_of_day_and_never_goes_back():
    clock = Clock(lambda _: None)
    seen = [clock() for _ in range(1000)]
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(time.time(), abs=60)
    assert steady() <= steady()
