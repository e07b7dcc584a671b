"""The image: its linter has nothing to say, its context holds what it copies and nothing else, its commands run."""

import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pathspec
import pytest
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tiny_sweep import ROOT

DOCKERFILE = ROOT / "infra" / "Dockerfile"
STEPS = [
    (step["instruction"], step["value"])
    for step in DockerfileParser(fileobj=io.BytesIO(DOCKERFILE.read_bytes())).structure
    if step["instruction"] != "COMMENT"
]
RUNS = [value for instruction, value in STEPS if instruction == "RUN"]
COPIES = [value.split() for instruction, value in STEPS if instruction == "COPY"]
PACKAGES, OURS = (run for run in RUNS if "pip install" in run)


def is_sent(path: str) -> bool:
    """Whether `docker build` sends it. Docker takes a pattern from the top, Git from anywhere."""
    lines = (ROOT / "infra" / "Dockerfile.dockerignore").read_text().splitlines()
    patterns = [f"!/{line[1:]}" if line.startswith("!") else line for line in lines]
    return not pathspec.PathSpec.from_lines("gitignore", patterns).match_file(path)


def context() -> set[str]:
    """The repository's files that `docker build` sends."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(filter(is_sent, tracked.stdout.splitlines()))


def test_hadolint_has_nothing_to_say():
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_copies_all_that_is_sent_and_all_that_it_copies_is_sent():
    sources = [source for *sources, _ in COPIES for source in sources]
    sent = context()
    assert {path.split("/")[0] for path in sent} == set(sources)
    assert {"dermtune/sweep.py", "analysis/report/__init__.py", "sweeps/focal_ls.py"} <= sent


@pytest.mark.parametrize(
    "private", [".git/config", "mlflow.db", "runs/a/sweep.json", "data/x.jpg", ".env", "tests/a.py"]
)
def test_data_runs_history_and_tokens_are_not_sent(private):
    assert not is_sent(private)


def test_it_does_not_run_as_root_and_no_secret_is_in_it():
    users = [value for instruction, value in STEPS if instruction == "USER"]
    assert users == ["1000"]
    assert STEPS.index(("USER", "1000")) > max(i for i, (name, _) in enumerate(STEPS) if name in ("RUN", "COPY"))
    assert not re.search(r"^(ENV|ARG).*(TOKEN|PASSWORD|SECRET)", DOCKERFILE.read_text(), re.MULTILINE)


def test_the_large_layer_depends_on_no_line_of_code():
    packages = STEPS.index(("RUN", PACKAGES))
    before = {source for name, value in STEPS[:packages] if name == "COPY" for source in value.split()[:-1]}
    assert before == {"pyproject.toml", "constraints.txt"}


HAS_DASHBOARD = "from ray._private.utils import get_dashboard_dependency_error as lacking; assert lacking() is None"
"""What Ray asks itself before it starts one that answers."""


def built(folder: Path, *commands: str) -> None:
    """Run an image's commands in a folder that holds what was sent, with this folder's own Python."""
    path = f"{folder / 'venv' / 'bin'}:/usr/bin:/bin"
    for command in commands:
        subprocess.run(["sh", "-ec", command], cwd=folder, env={**os.environ, "PATH": path}, check=True)


@pytest.fixture
def sent(tmp_path):
    """A folder with the context and an empty virtual environment."""
    for name in context():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {canonicalize_name(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}


def test_the_packages_that_it_installs_are_the_projects_own_and_rays_dashboard_each_with_a_pin(sent):
    venv.create(sent / "venv")
    built(sent, PACKAGES.split("&&")[0])
    asked = (sent / "requirements.txt").read_text().splitlines()
    assert asked == [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["cluster"]]
    assert {canonicalize_name(Requirement(line).name) for line in asked} <= PINS


def test_every_package_of_rays_dashboard_has_a_pin():
    (cluster,) = (Requirement(line) for line in PROJECT["optional-dependencies"]["cluster"])
    assert (cluster.name, cluster.extras) == ("ray", {"default"})
    asked = (Requirement(line) for line in importlib.metadata.requires("ray") or ())
    dashboards = {canonicalize_name(r.name) for r in asked if r.marker and r.marker.evaluate({"extra": "default"})}
    assert "aiohttp-cors" in dashboards
    assert dashboards <= PINS


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_its_commands_make_an_environment_of_pinned_versions_in_which_the_sweep_answers(sent):
    venv.create(sent / "venv", with_pip=True)
    built(sent, PACKAGES, OURS, "cd / && dermtune-sweep --help", "pip check", f"python -c '{HAS_DASHBOARD}'")
    asked = [sent / "venv" / "bin" / "pip", "list", "--format=freeze"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    pins = set((ROOT / "constraints.txt").read_text().splitlines())
    unpinned = {line.split("==")[0] for line in listed if line not in pins}
    assert {name for name in unpinned if not re.match("torch|nvidia|cuda|triton", name)} == {"dermtune", "pip"}
