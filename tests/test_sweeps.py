"""Every question in sweeps/ plans on every recipe, says how to ask it and what to expect, and imports little."""

import ast
import re
from pathlib import Path

import pytest

from dermtune.loading import load_sweep
from dermtune.plan import BASELINE, Search, plan
from dermtune.points import Points
from dermtune.recipes import RECIPES

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "sweeps").glob("*.py"))
ALLOWED = {"dermtune.plan", "dermtune.config", "optuna.distributions"}

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def test_the_questions_of_the_team_are_all_there():
    assert {path.stem for path in FILES} >= {
        "focal_ls",
        "sampler",
        "logit_adjustment",
        "full_grid",
        "repeat_baseline",
        "search_focal",
    }


def stated(path: Path, pattern: str) -> tuple[int, ...] | None:
    """The numbers of the pattern in the docstring of the file's `sweep()`."""
    function = next(node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))
    found = re.search(pattern, ast.get_docstring(function) or "")
    return found and tuple(map(int, found.groups()))


@each_file
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_question_plans_on_every_recipe_with_the_arms_and_seeds_that_it_states(path, recipe):
    sweep, _ = load_sweep(path)
    asked = {"config": RECIPES[recipe]().config, "recipe": recipe, "fingerprints": {"data": "d"}}
    planned = plan(sweep, **asked)
    found_later = 0
    if isinstance(sweep.first, Search):
        found_later = sweep.first.confirm
        assert stated(path, r"(\d+) points with one seed") == (sweep.first.n_points,)
        of_points = {name: asked[name] for name in ("config", "fingerprints")}
        assert Points(sweep=sweep, **of_points).baseline.levers == sweep.baseline
    assert stated(path, r"(\d+) arms? x (\d+) seeds?") == (len(planned.arms) + found_later, len(planned.seeds))
    assert len(planned.trials) == len(planned.arms) * len(planned.seeds)
    assert len({trial.trial_id for trial in planned.trials}) == len(planned.trials)
    assert planned.arms[0].name == planned.trials[0].arm == BASELINE
    assert planned.folder_name == f"{path.stem}-{recipe}"


@each_file
def test_a_question_tells_its_own_command_and_what_to_expect(path):
    text = docstring(path)
    assert text.partition("\n")[0].endswith("?")
    assert re.search(r"^Run: +(.*)$", text, re.MULTILINE)[1] == f"python -m dermtune.sweep sweeps/{path.name}"
    assert len(re.search(r"^Expected: +(.*)", text, re.MULTILINE | re.DOTALL)[1]) > 40


@each_file
def test_a_question_imports_the_words_to_ask_it_and_nothing_else(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module)
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    assert imported <= ALLOWED
