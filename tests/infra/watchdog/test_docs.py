"""The page about the watchdog says what it does: options, codes, and rows that tests hold."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from infra.watchdog import arguments

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "watchdog.md").read_text()
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def section(title):
    return re.search(rf"^## {title}\n.*?(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)[0]


def test_the_tables_list_every_option_and_no_other():
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `--")]
    assert set(re.findall(r"--[a-z-]+", " ".join(rows))) == arguments.options()


@pytest.mark.parametrize("command", re.findall(r"^python -m infra\.watchdog (.*)$", PAGE, re.MULTILINE))
def test_a_command_on_the_page_is_one_that_the_door_takes(command):
    assert arguments.parse(shlex.split(command, comments=True))


def test_the_examples_of_the_help_are_commands_that_the_door_takes():
    examples = re.findall(r"python -m infra\.watchdog ((?:.*\\\n)?.*)$", arguments.EPILOG, re.MULTILINE)
    assert len(examples) == 3
    for example in examples:
        assert arguments.parse(shlex.split(example.replace("\\\n", " ")))


def test_the_defaults_on_the_page_are_those_of_the_door():
    asked = arguments.parse(["run", "abc", "--remote", "x/y", "--into", "runs", "--deadline-hours", "1"])
    limits = asked.limits
    for option, value in {
        "--idle-minutes": limits.idle / 60,
        "--start-minutes": limits.start / 60,
        "--grace-minutes": limits.grace / 60,
        "--pull-minutes": limits.pull / 60,
        "--poll-seconds": limits.poll,
        "--give-up-minutes": limits.give_up / 60,
        "--answer-seconds": limits.answer,
    }.items():
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{option} ")]
        assert f"default {value:g} |" in row
    assert asked.into.name == "y"
    assert asked.into.is_absolute()


def test_the_page_and_the_help_name_the_same_codes():
    listed = re.findall(r"^\| (\d) \|", section("The report"), re.MULTILINE)
    assert listed == re.findall(r"\b\d\b", arguments.EPILOG.split("exit codes:")[1])


def rows():
    for line in section("At 3 a\\.m\\.").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] != "what happened" and not set(line) <= set("|- "):
            yield pytest.param(cells, id=cells[0][:60])


@pytest.mark.parametrize("cells", [*rows()])
def test_each_row_names_tests_that_are_there(cells):
    assert len(cells) == 5
    named = TEST.findall(cells[-1])
    assert named
    for file, function in named:
        tree = ast.parse((Path(__file__).parent / file).read_text())
        assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
