"""What the worker of a trial hears of the trial's other processes, and what Tune reserves for all of them."""

import pytest
from ray import tune
from ray.exceptions import ActorDiedError, RayTaskError

from dermtune.crew import no_others
from dermtune.memory import lacks_memory
from dermtune.tuner.crews import LostProcess, _heard, gathering, reserved


def test_what_another_process_raised_is_raised_as_itself():
    raised = RayTaskError("follow", "Traceback", MemoryError("Unable to allocate 74.5 GiB"))
    with pytest.raises(MemoryError, match=r"Unable to allocate 74\.5 GiB") as caught, _heard():
        raise raised.as_instanceof_cause()
    assert lacks_memory(caught.value), "so the trial is tried again, and its reason is known"


def test_the_death_of_another_process_is_no_error_of_the_trials():
    with pytest.raises(LostProcess, match="one of the trial's processes has died"), _heard():
        raise ActorDiedError


def test_tune_reserves_a_like_part_of_cores_and_gpus_for_each_process_and_all_at_once():
    four = reserved(4, 8, 4.0)
    assert isinstance(four, tune.PlacementGroupFactory)
    assert four.bundles == [{"CPU": 2.0, "GPU": 1.0}] * 4
    assert reserved(1, 8, 0.5) == {"cpu": 8, "gpu": 0.5}


def test_a_trial_of_one_process_gathers_nobody():
    assert gathering(1, 1, 0.0, 1) is no_others
