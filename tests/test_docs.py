"""The docs say what the commands do: no option, sweep, recipe or file is missing from them, none is made up."""

import re
import shlex
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from analysis import power, significance
from analysis.simulation import __main__ as simulation
from dermtune import arguments, export, verify
from dermtune.loading import load_recipe, load_sweep
from dermtune.plan import Screen, Search, Sweep
from dermtune.recipes import RECIPES, Resources
from dermtune.selection import Picked, Selection, Tried
from dermtune.staging import Staging
from infra.watchdog import arguments as watchdog

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
LINKING = (*PAGES, ROOT / "CHANGELOG.md", ROOT / "infra" / "README.md", *sorted((ROOT / "docs").glob("*/*.md")))
TEXT = "\n".join(page.read_text() for page in PAGES)

PARSERS = {
    "sweep": arguments._parser(),
    "verify": verify._parser(),
    "export": export._parser(),
    "significance": significance._parser(),
    "power": power._parser(),
    "simulation": simulation._parser(),
}
OPTIONS = {
    door: {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
    for door, parser in PARSERS.items()
}

OPTION = re.compile(r"--[a-z][a-z0-9-]*")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)|\bsrc=\"([^\"]+)\"")
TO_A_PART = re.compile(r"\]\(([^)\s#]*)#([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+?)$", re.MULTILINE)
COMMAND = re.compile(
    r"^(?:python -m (?:dermtune|analysis)\.|dermtune-)(sweep|verify|export|significance|power|simulation)(?: |$)"
)


def commands():
    """Door and arguments of each shell line of the docs that goes to a door."""
    for page in PAGES:
        for language, block in FENCED.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines() if language in ("sh", "bash") else ():
                if found := COMMAND.match(line):
                    argv = shlex.split(line[found.end() :], comments=True)
                    yield pytest.param(found[1], argv, id=f"{page.name}: {line}")


@pytest.mark.parametrize("door", PARSERS)
def test_the_table_of_a_door_lists_its_options_and_no_others(door):
    commands_page = (ROOT / "docs" / "commands.md").read_text()
    section = re.search(rf"^## `python -m \w+\.{door}\b.*?(?=^## |\Z)", commands_page, re.DOTALL | re.MULTILINE)[0]
    names = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `--")]
    assert set(OPTION.findall(" ".join(names))) == OPTIONS[door]


def test_no_page_names_an_option_that_no_door_has():
    named = set(re.findall(rf"`({OPTION.pattern})", TEXT))
    assert named <= set().union(*OPTIONS.values(), watchdog.options())


@pytest.mark.parametrize(("door", "argv"), [*commands()])
def test_a_command_in_the_docs_is_one_that_its_door_takes(door, argv):
    assert PARSERS[door].parse_args(argv)


def test_the_readme_shows_every_door():
    readme = FENCED.findall((ROOT / "README.md").read_text())
    shown = [found[1] for _, block in readme for line in block.splitlines() if (found := COMMAND.match(line))]
    assert set(shown) == set(PARSERS)


@pytest.mark.parametrize("page", LINKING, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page):
    links = [target or source for target, source in LINK.findall(FENCED.sub("", page.read_text()))]
    here = [link for link in links if not link.startswith(("http:", "https:", "mailto:"))]
    assert [link for link in here if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", LINKING, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_was_left_in_the_middle_of_a_merge(page):
    assert re.findall(r"^(?:<<<<<<< |=======$|>>>>>>> ).*", page.read_text(), re.MULTILINE) == []


@pytest.mark.parametrize("page", LINKING, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_part_of_a_page_leads_to_a_heading(page):
    links = [(page.parent / file if file else page, part) for file, part in TO_A_PART.findall(page.read_text())]
    here = [(file, part) for file, part in links if ":" not in str(file)]
    assert [(file.name, part) for file, part in here if part not in headings(file)] == []


def headings(page: Path) -> list[str]:
    """What GitHub calls the headings in links: small letters, no punctuation, hyphens for blanks."""
    found = HEADING.findall(FENCED.sub("", page.read_text()))
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found]


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.py")), ids=lambda path: path.stem)
def test_every_question_is_named(path):
    assert f"sweeps/{path.name}" in TEXT


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_named(name):
    assert f"`{name}`" in TEXT


@pytest.mark.parametrize("record", [Sweep, Search, Screen, Resources], ids=lambda record: record.__name__)
def test_the_table_of_a_sweep_file_has_every_field_with_its_default(record):
    page = (ROOT / "docs" / "sweep-files.md").read_text()
    section = re.search(rf"^## `{record.__name__}`.*?(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)[0]
    rows = [[cell.strip(" `") for cell in line.split("|")[1:3]] for line in section.splitlines() if "| `" in line]
    assert dict(rows) == {field.name: shown_default(field) for field in fields(record)}


def shown_default(field):
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return "" if default is MISSING else repr(default)


@pytest.mark.parametrize("record", [Tried, Picked, Selection], ids=lambda record: record.__name__)
def test_every_key_of_a_selection_is_explained(record):
    page = (ROOT / "docs" / "search.md").read_text()
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))))
    assert {field.name for field in fields(record)} <= named


def test_the_searches_in_the_docs_are_sweeps(tmp_path):
    blocks = [block for _, block in FENCED.findall((ROOT / "docs/search.md").read_text()) if "def sweep" in block]
    (tmp_path / "search.py").write_text(blocks[0])
    (tmp_path / "screen.py").write_text(blocks[1])
    for name, kind in (("search", Search), ("screen", Screen)):
        sweep, _ = load_sweep(tmp_path / f"{name}.py")
        assert isinstance(sweep.first, kind)
        assert Staging(sweep=sweep, config=RECIPES["laptop"]().config, recipe="laptop").planned().first


def test_the_recipe_in_the_docs_is_one(tmp_path):
    (example,) = [
        block for _, block in FENCED.findall((ROOT / "docs/commands.md").read_text()) if "def recipe" in block
    ]
    (tmp_path / "my_recipe.py").write_text(example)
    assert load_recipe(str(tmp_path / "my_recipe.py")).name == "clinic"
