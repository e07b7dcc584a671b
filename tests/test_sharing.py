"""A trial's GPUs say how many processes it has, unless it is told how many."""

import pytest

from dermtune.config import ConfigError
from dermtune.sharing import Occupied, occupied


@pytest.mark.parametrize(
    ("cpus", "gpus", "processes", "expected"),
    [
        (1, None, None, (1, None, 1)),
        (1, 0.0, None, (1, 0.0, 1)),
        (2, 0.5, None, (2, 0.5, 1)),
        (8, 1.0, None, (8, 1.0, 1)),
        (8, 4.0, None, (8, 4.0, 4)),
        (9, 4.0, 4, (8, 4.0, 4)),
        (1, 0.0, 2, (2, 0.0, 2)),
        (1, None, 2, (2, None, 2)),
        (0.5, None, 2, (2, None, 2)),
    ],
)
def test_a_process_has_one_gpu_a_part_of_one_or_none_and_a_core_where_there_are_several(
    cpus, gpus, processes, expected
):
    cores, of_all, several = expected
    assert occupied(cpus, gpus, processes) == Occupied(cpus=cores, gpus=of_all, processes=several)


@pytest.mark.parametrize(
    ("gpus", "processes", "got"),
    [
        (1.5, None, "1.5 GPUs for 2 processes"),
        (4.0, 1, "4 GPUs for 1 process:"),
        (1.0, 2, "1 GPUs for 2 processes"),
    ],
)
def test_gpus_that_cannot_be_dealt_out_to_the_processes_are_refused_with_both_numbers(gpus, processes, got):
    with pytest.raises(ConfigError, match=f"at most one GPU, or as many as processes, got {got}"):
        occupied(8, gpus, processes)
