"""The wheel on a machine without the checkout: all commands are there and find all that they need."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "dermtune-sweep",
    "dermtune-verify",
    "dermtune-significance",
    "dermtune-power",
    "dermtune-simulation",
    "dermtune-watchdog",
)
ELSEWHERE = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {
    "COLUMNS": "100"
}
"""An environment in which nothing points to the checkout."""


def run(*command, cwd):
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=ELSEWHERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of what git knows or would know, so that the checkout stays clean."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet")
    run(*pip, "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", built, ".", cwd=source)
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A fresh environment with the wheel in it, which borrows the dependencies of the running one."""
    home = tmp_path_factory.mktemp("machine")
    run(sys.executable, "-m", "venv", "--without-pip", home / "venv", cwd=home)
    python = home / "venv" / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=home)
    return python


def test_the_wheel_holds_the_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        tops = {Path(name).parts[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dermtune", "analysis", "infra"}


def test_both_packages_come_from_the_wheel(installed, tmp_path):
    where = run(
        installed, "-c", "import dermtune, analysis; print(dermtune.__file__, analysis.__file__)", cwd=tmp_path
    )
    assert all(Path(file).is_relative_to(installed.parents[1]) for file in where.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_teaches_itself(command, installed, tmp_path):
    said = run(installed.with_name(command), "--help", cwd=tmp_path)
    assert said.startswith(f"usage: {command} ")
    assert "exit codes:" in said


def test_predictions_become_a_page_without_the_checkout(installed, tmp_path):
    (tmp_path / "index.csv").write_text("arm,seed,path\nbaseline,0,a.csv\nfocal,0,b.csv\n")
    for name, sure in (("a", 0.6), ("b", 0.9)):
        rows = [f"x{j},{'pq'[j % 2]},{(sure, 1 - sure)[j % 2]},{(1 - sure, sure)[j % 2]}" for j in range(20)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["sample_id,label,prob_p,prob_q", *rows]))
    command = installed.with_name("dermtune-significance")
    run(command, "index.csv", "--resamples", "200", "--html", "page.html", cwd=tmp_path)
    assert "focal" in (tmp_path / "page.html").read_text(encoding="utf-8")
