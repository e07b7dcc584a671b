"""What the first signal does, what the next one does, and who hears them afterwards."""

import signal

import pytest

from dermtune.signals import STOPPING, Signals, Stopped

pytestmark = pytest.mark.usefixtures("no_signal_ignored")


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_signal_leaves_the_block_and_is_known_by_name_and_code(number):
    before, signals = signal.getsignal(number), Signals()
    with pytest.raises(Stopped), signals.heard():
        signal.raise_signal(number)
    assert (signals.came, signals.name, signals.exit_code) == (number, number.name, 128 + number)
    assert signal.getsignal(number) is before


def test_in_a_held_block_the_first_is_noted_alone():
    signals = Signals()
    with signals.held():
        signal.raise_signal(signal.SIGTERM)
    assert (signals.came, signals.hurried) == (signal.SIGTERM, False)


def test_a_scheduler_that_says_it_twice_is_heard_once_and_ctrl_c_hurries():
    signals = Signals()
    with signals.held():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert not signals.hurried
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGINT)
    assert (signals.came, signals.hurried) == (signal.SIGTERM, True)


def test_what_was_ignored_at_the_start_stays_ignored():
    before, signals = signal.signal(signal.SIGHUP, signal.SIG_IGN), Signals()
    try:
        with signals.heard():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signals.came is None
