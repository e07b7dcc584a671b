"""How many trials fit on the nodes of a cluster: each process on one node, each part of a GPU on one GPU."""

import pytest

from dermtune.tuner.fitting import Asked, TunerError


def node(cpus, gpus=0):
    return {"CPU": float(cpus), "GPU": float(gpus)}


@pytest.mark.parametrize(
    ("asked", "nodes", "expected"),
    [
        ((1, 0), [node(4)], 4),
        ((4, 0), [node(4)], 1),
        ((0.5, 0), [node(4)], 8),
        ((3, 0), [node(4), node(2)], 1),
        ((1, 1), [node(16, 2), node(16, 1)], 3),
        ((8, 1), [node(16, 8)], 2),
        ((1, 0.5), [node(16, 1)], 2),
        ((1, 0.6), [node(16, 2)], 2),
        ((1, 0.4), [node(16, 4)], 8),
        ((1, 0.3), [node(64, 8)], 24),
        ((1, 1 / 3), [node(64, 2)], 6),
        ((1, 1), [node(4)], 0),
    ],
)
def test_parts_of_a_gpu_are_parts_of_one(asked, nodes, expected):
    cpus, gpus = asked
    assert Asked(cpus=cpus, gpus=gpus).at_once(nodes) == expected


@pytest.mark.parametrize(
    ("nodes", "expected", "on_one_node"),
    [
        ([node(8, 3), node(8, 3)], 3, 2),
        ([node(8, 1), node(8, 1)], 1, 0),
        ([node(8, 4)], 2, 2),
        ([node(1, 4)], 0, 0),
    ],
)
def test_processes_of_a_trial_that_must_see_one_checkpoint_are_counted_on_each_node_alone(
    nodes, expected, on_one_node
):
    asked = {"cpus": 2, "gpus": 2, "processes": 2}
    assert Asked(**asked).at_once(nodes) == expected
    assert Asked(**asked, on_one_node=True).at_once(nodes) == on_one_node


def test_where_no_number_of_gpus_is_asked_for_each_process_has_one_as_soon_as_there_is_any():
    asked = Asked(cpus=2, gpus=None, processes=2)
    assert asked.fitted([node(2)]).gpus == 0
    assert asked.fitted([node(2), node(2, 2)]).gpus == 2


def test_a_trial_whose_processes_fit_on_several_nodes_but_not_on_one_is_refused_where_it_must():
    nodes = [node(8, 1), node(8, 1)]
    asked = Asked(cpus=2, gpus=2, processes=2, on_one_node=True)
    with pytest.raises(TunerError, match="the 2 processes of a trial must fit on one node with --storage"):
        asked.fitted(nodes)
    assert Asked(cpus=2, gpus=2, processes=2).fitted(nodes).gpus == 2
