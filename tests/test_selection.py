"""What a first stage tried and what was picked of it, kept whole."""

import pytest

from dermtune.selection import Picked, Selection, SelectionError, Tried

SELECTION = Selection(
    kind="search",
    objectives=["balanced_accuracy"],
    levers=["focal_gamma"],
    trials=(
        Tried(
            number=0,
            trial_id="a",
            arm="baseline",
            levers={"focal_gamma": 0.0},
            seed=1000,
            state="complete",
            values=[0.5],
            course=[0.3, 0.5],
        ),
        Tried(number=1, trial_id="b", arm="focal_gamma=2", levers={"focal_gamma": 2.0}, seed=1000, state="pruned"),
    ),
    picked=(Picked(arm="pick-1", tried="focal_gamma=2", value=0.6),),
    importances={"focal_gamma": 1.0},
)


def test_a_selection_comes_back_as_it_was_kept(tmp_path):
    SELECTION.write(tmp_path / "selection.json")
    assert Selection.read(tmp_path / "selection.json") == SELECTION


def test_where_no_first_stage_was_there_is_none_to_read(tmp_path):
    with pytest.raises(FileNotFoundError):
        Selection.read(tmp_path / "selection.json")


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 2}', '{"format": 1}', '{"format": 1, "trials": [{}]}'])
def test_a_damaged_selection_is_named(tmp_path, content):
    path = tmp_path / "selection.json"
    path.write_text(content)
    with pytest.raises(SelectionError, match=r"selection.json must hold what the first stage tried"):
        Selection.read(path)
