"""What a trial takes, measured on a few of its steps before money is spent on whole ones."""

from dermtune.timing.asking import MOST_BESIDE, Asked, TimingError, time_kinds, timings_kept
from dermtune.timing.kinds import kind_of
from dermtune.timing.machine import this_machine
from dermtune.timing.measured import Seconds, Timing

__all__ = [
    "MOST_BESIDE",
    "Asked",
    "Seconds",
    "Timing",
    "TimingError",
    "kind_of",
    "this_machine",
    "time_kinds",
    "timings_kept",
]
