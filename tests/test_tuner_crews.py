"""What the worker of a trial hears of the trial's other processes, and what Tune reserves for all of them."""

import contextlib
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace

import pytest
from ray import tune
from ray.exceptions import ActorDiedError, RayTaskError

from dermtune.crew import no_others
from dermtune.memory import lacks_memory
from dermtune.tuner import crews
from dermtune.tuner.crews import LostProcess, _heard, _wait_for, _Watch, gathering, lacking, reserved
from dermtune.tuner.fitting import Asked
from dermtune.tuner.sight import Sight, this_node
from tests.tuner_workers import PLACE


def test_what_another_process_raised_is_raised_as_itself():
    raised = RayTaskError("follow", "Traceback", MemoryError("Unable to allocate 74.5 GiB"))
    with pytest.raises(MemoryError, match=r"Unable to allocate 74\.5 GiB") as caught, _heard():
        raise raised.as_instanceof_cause()
    assert lacks_memory(caught.value), "so the trial is tried again, and its reason is known"


def test_the_death_of_another_process_is_no_error_of_the_trials():
    with pytest.raises(LostProcess, match="one of the trial's processes has died"), _heard():
        raise ActorDiedError


def test_tune_reserves_a_like_part_of_cores_and_gpus_for_each_process_and_all_at_once():
    four = reserved(Asked(cpus=8, gpus=4.0, processes=4))
    assert isinstance(four, tune.PlacementGroupFactory)
    assert four.bundles == [{"CPU": 2.0, "GPU": 1.0}] * 4
    assert reserved(Asked(cpus=8, gpus=0.5)) == {"cpu": 8, "gpu": 0.5}


def test_a_trial_of_one_process_gathers_nobody():
    assert gathering(1, 1, 0.0, 1) is no_others


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeing(Sight):
    """What a node sees."""

    lacks: str | None

    def lacking(self, trials):
        return self.lacks


def test_a_trial_whose_further_process_is_on_a_node_that_lacks_something_is_told_that_node(monkeypatch, tmp_path):
    def asked(answer):
        return SimpleNamespace(lacking=SimpleNamespace(remote=lambda *_: answer))

    others = [asked(None), asked(("10.0.0.3 (third)", "does not see the images /data"))]
    monkeypatch.setattr(crews, "ray", SimpleNamespace(get=list))
    monkeypatch.setattr(crews, "_actors", lambda *_: contextlib.nullcontext(others))
    shared, ours = Seeing(folder=tmp_path, lacks=None), partial(lacking, [], PLACE)
    assert ours(shared, 3, 3, 0) == ("10.0.0.3 (third)", "does not see the images /data")
    assert ours(shared, 1, 1, 0) is None
    assert ours(Seeing(lacks=None), 3, 3, 0) is None, "all of them are on this node"
    assert ours(Seeing(folder=tmp_path, lacks="sees nothing"), 3, 3, 0) == (this_node(), "sees nothing")


def test_a_further_process_tells_of_other_images_where_the_driver_has_its_own(make_trial, drawn, tmp_path):
    other = replace(make_trial(), fingerprints={"data": "of other images"})
    node, why = crews._Other().lacking([other], drawn.place, Seeing(data=tmp_path, lacks=None))
    assert (node, why.startswith("has other images: ")) == (this_node(), True)
    assert crews._Other().lacking([make_trial()], drawn.place, Seeing(data=tmp_path, lacks=None)) is None


# Of a Ray whose references are futures.


class Other:
    """A further process of a trial; it dies where it is killed."""

    def __init__(self):
        self.end = Future()

    def die(self):
        if not self.end.done():
            self.end.set_exception(ActorDiedError())


def wait_for(ends, *, num_returns, timeout):
    done, late = wait(ends, timeout, ALL_COMPLETED if num_returns == len(ends) else FIRST_COMPLETED)
    return list(done), list(late)


@pytest.fixture
def others(monkeypatch):
    """Two others, of a worker with little patience."""
    a_ray = SimpleNamespace(wait=wait_for, get=lambda end: end.result(), kill=Other.die)
    monkeypatch.setattr(crews, "ray", a_ray)
    monkeypatch.setattr(crews, "GRACE", 0.5)
    return [Other(), Other()]


def meet(error, others):
    """What is raised at last of an error of the first process, which then ends the others."""
    try:
        with _Watch(others, [other.end for other in others]) as watch:
            watch.settle(error)
            crews._end(others)
            raise error
    except Exception as raised:  # noqa: BLE001 - the test looks at it
        return raised


BROKEN = RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer")


def test_what_a_trials_first_process_raises_is_its_own_where_the_others_die_of_it_alone(others):
    own = RuntimeError("expected scalar type Float but found Double")
    assert meet(own, others) is own


def test_what_one_process_raised_is_heard_though_the_others_say_that_the_group_is_broken(others):
    refused = ValueError("no such image")
    others[0].end.set_exception(BROKEN)
    others[1].end.set_exception(refused)
    assert meet(BROKEN, others) is refused


def test_where_one_process_died_the_trial_is_tried_again_though_another_says_that_the_group_is_broken(others):
    others[0].end.set_exception(BROKEN)
    others[1].die()
    assert isinstance(meet(BROKEN, others), LostProcess)


def test_a_process_that_stands_still_at_the_end_holds_no_trial_and_is_not_kept_for_the_next(others, monkeypatch):
    monkeypatch.setattr(crews, "STUCK", 0.1)
    still = others[1]
    others[0].end.set_result(None)
    _wait_for(others, [other.end for other in others])
    assert others == []
    assert isinstance(still.end.exception(0), ActorDiedError)


def test_processes_that_ended_well_are_kept_for_the_next_trial(others):
    for other in others:
        other.end.set_result(None)
    _wait_for(others, [other.end for other in others])
    assert len(others) == 2
