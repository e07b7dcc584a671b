"""The page that is read at 3 a.m. promises nothing that no test holds."""

import ast
import re
from pathlib import Path

import pytest

from dermtune import arguments

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operations.md").read_text()
TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def rows():
    """The cells of each row of the tables whose last column names tests."""
    inside = False
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[-1] == "tested by":
            inside = True
        elif inside and not set(line) <= set("|- "):
            yield pytest.param(cells, id=cells[0])


def functions(path):
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_there_are_rows():
    assert len([*rows()]) > 20


@pytest.mark.parametrize("cells", [*rows()])
def test_each_row_says_what_happened_what_holds_the_code_what_to_do_and_which_tests_show_it(cells):
    assert len(cells) == 5
    named = TEST.findall(cells[-1])
    assert named, "a row must name a test"
    for file, function in named:
        assert function in functions(ROOT / "tests" / file)


def test_the_page_and_the_commands_help_name_the_same_exit_codes():
    codes = {code for cells in rows() for code in re.findall(r"\d+", cells.values[0][2])}
    table = PAGE.split("## Exit codes")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| (\d+) ", table, re.MULTILINE))
    said = arguments.EPILOG.split("exit codes:")[1]
    assert codes <= listed
    assert {code for code in listed if not re.search(rf"\b{code}\b", said)} == set()
