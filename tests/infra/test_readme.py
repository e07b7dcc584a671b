"""infra/README.md: every file has its row, every row its test, every command its file and its options."""

import re
import shlex
import subprocess

import pytest
from ray.scripts.scripts import cli as ray_cli

from dermtune import arguments, export, verify
from infra.watchdog import arguments as watchdog
from tests.infra.shell import complaints
from tests.tiny_sweep import ROOT

PAGE = (ROOT / "infra" / "README.md").read_text()
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
SHELL = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [line for block in SHELL for line in block.replace("\\\n", " ").splitlines()]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def files(folder: str) -> set[str]:
    """Tracked ones below the folder, and those about to be."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder]
    return set(subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


def test_every_file_has_a_row():
    named = tuple(f"infra/{name}" for row in ROWS for name in names(row[0]))
    others = {path for path in files("infra") if not path.startswith(named)}
    assert others <= {"infra/README.md", "infra/__init__.py"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_row_whose_file_is_here_names_tests_that_are(row):
    if files(f"infra/{names(row[0])[0]}"):
        assert all(
            (ROOT / "tests" / "infra" / name).is_file() for name in names(row[-1]) if name.startswith("test_")
        )


def test_its_commands_are_sound_shell():
    for block in SHELL:
        # A lone `cd` or `export` that goes unused is how a page tells of a shell that stays open.
        assert complaints(block.replace("...", "x")) == ""


def test_every_file_that_a_command_names_is_there():
    named = {path for line in COMMANDS for path in re.findall(r"\b(?:infra|sweeps)/[\w./]+", line)}
    assert len(named) > 6
    assert {path for path in named if not (ROOT / path).is_file()} == set()


def test_every_sweep_that_a_command_starts_is_asked_for_rightly():
    sweeps = [
        *re.findall(r"python -m dermtune\.sweep ([^'\n]+)", "\n".join(COMMANDS)),
        *re.findall(r"sweep\.sbatch (.+)$", "\n".join(COMMANDS), re.MULTILINE),
        *re.findall(r"dermtune:0\.1\.0 +(sweeps.+)$", "\n".join(COMMANDS), re.MULTILINE),
    ]
    assert len(sweeps) == 4
    for argv in sweeps:
        assert (ROOT / arguments.parse(shlex.split(argv)).file).is_file()


def test_the_other_doors_that_it_names_take_what_it_gives_them():
    for parser, door in ((verify._parser(), "verify"), (export._parser(), "export")):
        (argv,) = re.findall(rf"`python -m dermtune\.{door} ([^`]+)`", PAGE)
        assert parser.parse_args(shlex.split(argv))
    watches = re.findall(r"`python -m infra\.watchdog ([^`]+)`", PAGE)
    assert watches
    assert all(watchdog.parse(shlex.split(argv)) for argv in watches)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("ray ")], ids=lambda line: line[:40])
def test_rays_own_command_line_takes_what_is_given_to_it(line):
    _, name, *argv = shlex.split(line)
    command = ray_cli.get_command(None, name)
    with command.make_context(name, argv) as context:
        config = context.params.get("cluster_config_file")
    assert config in (None, "infra/ray_up/cluster.yaml")
