"""The driver of a search and its confirmation is killed in each stage and between; the same command goes on."""

import pytest

from dermtune.selection import Selection
from tests.faults.test_driver_killed import kill, n_epochs
from tests.staged_sweep import LEARNING, ONE_AT_A_TIME, SEARCH
from tests.tiny_sweep import TinySweep, wait_until

MOMENTS = {
    "in the first stage": lambda tiny: n_epochs(tiny) >= 4,  # the baseline's three, and one of a point
    "between": lambda tiny: (tiny.folder / "selection.json").exists(),
    "in the second stage": lambda tiny: (tiny.folder / "sweep.json").exists() and n_second(tiny) > 0,
}


def n_second(tiny):
    """Epochs of the second stage."""
    first = {i for one in Selection.read(tiny.folder / "selection.json").tried for i in one.trial_ids}
    return sum(path.parent.name not in first for path in tiny.folder.glob("trials/*/history.csv"))


@pytest.fixture(scope="module")
def calm_search(tmp_path_factory, shared):
    """The same command where nothing happened."""
    tiny = TinySweep.written(tmp_path_factory.mktemp("calm-search"), shared, question=SEARCH, recipe=LEARNING)
    ended = tiny.run(*ONE_AT_A_TIME, seconds=900)
    assert ended.returncode == 0, ended.stdout
    return tiny


def killed(tiny, moment):
    with (tiny.here / "log").open("w") as output:
        driver = tiny.start(*ONE_AT_A_TIME, stdout=output)
        try:
            wait_until(lambda: driver.poll() is not None or MOMENTS[moment](tiny), moment, seconds=400)
            assert driver.poll() is None, (tiny.here / "log").read_text()
        finally:
            kill(driver, with_all=True)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "moments",
    [
        pytest.param(["in the first stage"], id="in the first stage"),
        pytest.param([*MOMENTS], id="in each", marks=pytest.mark.slow),
    ],
)
def test_after_a_kill_the_same_command_makes_the_same_picks_and_predictions(tmp_path, shared, calm_search, moments):
    tiny = TinySweep.written(tmp_path / "killed", shared, question=SEARCH, recipe=LEARNING)
    for moment in moments:
        killed(tiny, moment)
    ended = tiny.run(*ONE_AT_A_TIME, seconds=900)
    assert ended.returncode == 0, ended.stdout
    assert "Traceback" not in ended.stdout
    calm = Selection.read(calm_search.folder / "selection.json")
    assert Selection.read(tiny.folder / "selection.json") == calm
    assert calm.picks
    assert tiny.logits() == calm_search.logits()
    assert {run.info.status for run in tiny.mlflow_runs()} == {"FINISHED"}
    assert len(tiny.mlflow_runs()) == len(calm_search.mlflow_runs())
