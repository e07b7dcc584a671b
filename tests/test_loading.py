from pathlib import Path

import pytest

from dermtune.loading import LoadingError, load_recipe, load_sweep
from dermtune.recipes import RECIPES

SWEEPS = Path(__file__).parents[1] / "sweeps"

GOOD = '''"""Is there a gain?

Run: now
"""
from dermtune.plan import Sweep


def sweep() -> Sweep:
    return Sweep(name="mine", grid={"focal_gamma": (0.0, 2.0)}, baseline={"focal_gamma": 0.0})
'''


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text)
    return path


def test_a_sweep_file_gives_its_sweep_and_its_question(tmp_path):
    sweep, question = load_sweep(written(tmp_path, GOOD))
    assert sweep.name == "mine"
    assert question == "Is there a gain?"


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.py")), ids=lambda path: path.stem)
def test_every_sweep_file_of_the_project_loads_and_is_named_after_its_file(path):
    sweep, question = load_sweep(path)
    assert sweep.name == path.stem
    assert question.endswith("?")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def sweep(:\n", "line 1: must be Python, got invalid syntax"),
        ("x = 1\n", "must define sweep() that returns a Sweep, it defines none"),
        ("sweep = 3\n", "must define sweep() that returns a Sweep, it defines none"),
        ("def sweep():\n    return 3\n", "sweep() must return a Sweep, got int"),
        ("def sweep():\n    return {}['a']\n", "line 2: KeyError: 'a'"),
        ("import nothing_of_this_name\n", "line 1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("raise RuntimeError\n", "line 1: RuntimeError"),
        (GOOD.replace("focal_gamma", "fokal_gamma"), "line 9: unknown lever 'fokal_gamma' in the grid"),
        (GOOD.replace('"mine"', '"a b"'), "line 9: a sweep's name must be letters, digits and _, got 'a b'"),
    ],
)
def test_a_faulty_sweep_file_gets_one_line_with_file_and_line(tmp_path, text, told):
    path = written(tmp_path, text)
    with pytest.raises(LoadingError) as caught:
        load_sweep(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert told in message
    assert "\n" not in message


def test_a_path_that_is_no_python_file_is_told_for_what_it_is(tmp_path):
    with pytest.raises(LoadingError, match=r"gone\.py: there must be a sweep file .* got nothing"):
        load_sweep(tmp_path / "gone.py")
    with pytest.raises(LoadingError, match="got a folder"):
        load_sweep(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(LoadingError, match="got another file"):
        load_sweep(tmp_path / "notes.txt")


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_known_by_name(name):
    assert load_recipe(name).name == name


def test_a_recipe_can_be_the_users_own_file(tmp_path):
    path = written(tmp_path, "from dermtune.recipes import laptop as recipe\n")
    assert load_recipe(str(path)) == load_recipe("laptop")


def test_an_unknown_recipe_is_answered_with_those_that_there_are():
    with pytest.raises(LoadingError, match=r"must be laptop, ham10000, medsiglip or a Python file .* got 'laptob'"):
        load_recipe("laptob")
