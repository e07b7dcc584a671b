"""`sweep.yaml` and `volume.yaml`: SkyPilot's own parser takes them for RunPod, their shell does what it says."""

import copy
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dermtune import arguments
from tests.infra.shell import complaints
from tests.tiny_sweep import ROOT

FOLDER = ROOT / "infra" / "skypilot"
TASK = yaml.safe_load((FOLDER / "sweep.yaml").read_text())
VOLUME = yaml.safe_load((FOLDER / "volume.yaml").read_text())
LINES = re.findall(r"^sky .+$", (ROOT / "infra" / "README.md").read_text(), re.MULTILINE)
SKYPILOT = Path(sys.prefix) / "skypilot" / "bin" / "python"


def with_changes(**changes):
    return {"kind": "task", "config": {**copy.deepcopy(TASK), **changes}, "secrets": [["HF_TOKEN", "hf_x"]]}


ASKED = {
    "task": with_changes(),
    "volume": {"kind": "volume", "config": VOLUME},
    "two machines": with_changes(num_nodes=2),
    "a mounted bucket": with_changes(file_mounts={"/data": {"source": "s3://skin", "mode": "MOUNT"}}),
    "stopped, not ended": with_changes(resources={**TASK["resources"], "autostop": {"idle_minutes": 10}}),
    "a slip": with_changes(resources={**TASK["resources"], "autostops": 10}),
    "a volume of 1 GB": {"kind": "volume", "config": {**VOLUME, "size": "1Gi"}},
    "a volume nowhere": {"kind": "volume", "config": {**VOLUME, "infra": "runpod"}},
    **{line: {"kind": "command", "config": shlex.split(line)[1:]} for line in LINES},
    "an option too many": {"kind": "command", "config": ["launch", "--mount", "infra/skypilot/sweep.yaml"]},
}


@pytest.fixture(scope="module")
def says(tmp_path_factory):
    """SkyPilot's answer to each question."""
    if not SKYPILOT.exists():
        pytest.skip(f"there is no SkyPilot here: make {SKYPILOT.parents[1]}/installed")
    home = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [SKYPILOT, Path(__file__).with_name("skypilot_peer.py")],
        input=json.dumps(list(ASKED.values())),
        env={
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
            "HF_TOKEN": "hf_x",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(ASKED, json.loads(done.stdout.splitlines()[-1]), strict=True))


def test_skypilot_takes_the_task_for_an_h100_of_runpods_that_goes_when_it_is_idle(says):
    assert says["task"] == {
        "cloud": "RunPod",
        "accelerators": {"H100": 1},
        "down_after_minutes": 10,
        "volumes": {"/workspace": VOLUME["name"]},
        "secrets": sorted(TASK["secrets"]),
    }


def test_skypilot_takes_the_volume(says):
    assert says["volume"] == {"name": "dermtune", "cloud": "runpod", "zone": "US-KS-2", "size": "100"}


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("two machines", "Multi-node"),
        ("a mounted bucket", "Mounting object stores is not supported on RunPod"),
        ("stopped, not ended", "Stopping not supported"),
        ("a slip", "autostops"),
        ("a volume of 1 GB", "at least 10GB"),
        ("a volume nowhere", "DataCenterId is required"),
        ("an option too many", "--mount"),
    ],
)
def test_skypilot_refuses_what_runpod_cannot(says, asked, why):
    assert why in says[asked]["error"]


@pytest.mark.parametrize("line", LINES)
def test_skypilots_command_line_takes_what_the_readme_gives_it(says, line):
    assert "error" not in says[line]
    assert all((ROOT / path).is_file() for path in re.findall(r"infra/\S+", line))


def test_no_secret_has_a_value():
    assert not any(TASK["secrets"].values())
    assert not set(TASK["envs"]) & {name for name in TASK["envs"] if re.search("TOKEN|PASSWORD|KEY", name)}


def test_its_shell_is_sound():
    for block in ("setup", "run"):
        known = "".join(f"export {name}=x\n" for name in TASK["envs"])
        assert complaints(known + TASK[block]) == ""


@pytest.fixture
def machine(tmp_path):
    """Runs the task's `run` in a home whose Python writes its arguments down and ends with the code asked for."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        '#!/bin/bash\nprintf "%s\\n" "$@" >"$HOME/asked"\necho "$HF_HOME" >"$HOME/cache"\nexit "$CODE"\n'
    )
    python.chmod(0o755)

    def run(*, code=0, **environment):
        given = {
            **TASK["envs"],
            "HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
            "CODE": str(code),
            **environment,
        }
        return subprocess.run(["bash", "-c", TASK["run"]], env=given, capture_output=True, text=True, check=False)

    run.home = tmp_path
    return run


@pytest.mark.parametrize("code", [0, 1, 143])
def test_the_sweep_gets_its_budget_and_keeps_all_on_the_volume_and_its_code_is_the_commands(machine, code):
    data = machine.home / "my images"
    data.mkdir()
    (data / "metadata.csv").touch()
    assert machine(code=code, DATA=str(data)).returncode == code
    module, *argv = (machine.home / "asked").read_text().splitlines()[1:]
    assert module == "dermtune.sweep"
    asked = arguments.parse(argv)
    assert (asked.max_usd, asked.usd_per_hour, asked.data) == (100, 3, data)
    (mounted,) = TASK["volumes"]
    assert str(asked.out).startswith(f"{mounted}/")
    assert (machine.home / "cache").read_text().startswith(f"{mounted}/")


def test_without_images_it_says_how_they_come_there_and_starts_nothing(machine):
    data = machine.home / "data" / "skin"
    done = machine(DATA=str(data))
    assert done.returncode == 2
    assert data.is_dir()  # what rsync would not make: the volume is empty
    assert "rsync -a data/skin/ dermtune:" in done.stderr
    assert not (machine.home / "asked").exists()


def test_every_package_of_skypilots_has_a_pin():
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in lines if not line.startswith("#"))
