"""`cluster.yaml`: Ray's own validator takes it, and its AWS provider starts from it what the comments promise."""

import copy
import re
import shlex

import boto3
import jsonschema
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config, validate_config

from dermtune import arguments
from dermtune.recipes import medsiglip
from dermtune.tuner.fitting import Asked, TunerError
from tests.infra.shell import complaints
from tests.tiny_sweep import ROOT

FOLDER = ROOT / "infra" / "ray_up"
TEXT = (FOLDER / "cluster.yaml").read_text()
CONFIG = yaml.safe_load(TEXT)
TYPES = CONFIG["available_node_types"]
NEEDS = medsiglip().resources
ROLE = "ray-autoscaler-v1"


def prepared(**changes):
    return prepare_config(copy.deepcopy({**CONFIG, **changes}))


def test_rays_own_validator_takes_it():
    validate_config(prepared())


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"idle_timeout_minute": 5}, jsonschema.ValidationError),
        ({"head_node_type": "heads"}, ValueError),
        ({"max_workers": 0}, ValueError),
    ],
)
def test_one_with_a_slip_in_it_would_not_pass(changes, error):
    with pytest.raises(error):
        validate_config(prepared(**changes))


@pytest.fixture
def aws(tmp_path, monkeypatch):
    """An AWS of moto's, with the role that Ray else waits half a minute for."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nobody")
    with mock_aws():
        iam = boto3.client("iam")
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
        iam.create_instance_profile(InstanceProfileName=ROLE)
        iam.add_role_to_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
        yield boto3.client("ec2", region_name=CONFIG["provider"]["region"])


def test_rays_aws_provider_starts_spot_workers_whose_disks_go_with_them(aws):
    config = bootstrap_aws(prepared())
    provider = AWSNodeProvider(config["provider"], CONFIG["cluster_name"])
    for kind in ("head", "h100"):
        provider.create_node(config["available_node_types"][kind]["node_config"], {"ray-node-type": kind}, 1)
    started = {
        instance["InstanceType"]: instance
        for reservation in aws.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    }
    assert {kind: instance.get("InstanceLifecycle") for kind, instance in started.items()} == {
        "m7i.2xlarge": None,
        "p5.48xlarge": "spot",
    }
    for instance in started.values():
        assert [disk["Ebs"]["DeleteOnTermination"] for disk in instance["BlockDeviceMappings"]] == [True]
        assert instance["Placement"]["AvailabilityZone"] == CONFIG["provider"]["availability_zone"]


def nodes(*, workers):
    """What Ray says of the nodes: `resources` as the file states them."""
    return [TYPES["head"]["resources"], *[TYPES["h100"]["resources"]] * workers]


def test_a_sweep_begins_on_the_workers_that_are_there_from_the_start_and_would_not_on_the_head_alone():
    asked, there = Asked(cpus=NEEDS.cpus, gpus=NEEDS.gpus), nodes(workers=TYPES["h100"]["min_workers"])
    assert asked.fitted(there).gpus == 1
    assert asked.at_once(there) == 8
    with pytest.raises(TunerError, match="must fit on one node"):
        asked.fitted(nodes(workers=0))


def test_what_is_idle_goes_and_nothing_is_left_stopped():
    assert 0 < CONFIG["idle_timeout_minutes"] <= 30
    assert CONFIG["provider"]["cache_stopped_nodes"] is False
    assert TYPES["head"]["max_workers"] == 0


def test_every_ray_asks_for_a_token_and_shows_its_dashboard_to_its_own_machine_alone():
    assert "export RAY_AUTH_MODE=token\n" in (FOLDER / "environment.sh").read_text()
    for command in (*CONFIG["head_start_ray_commands"], *CONFIG["worker_start_ray_commands"]):
        assert command.startswith(". ~/dermtune/infra/ray_up/environment.sh && ")
    (head,) = (command for command in CONFIG["head_start_ray_commands"] if "ray start" in command)
    assert "--dashboard-host=127.0.0.1" in head
    assert CONFIG["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in CONFIG["setup_commands"]


def test_its_nodes_have_rays_dashboard_for_the_command_that_shows_it():
    (install,) = (command for command in CONFIG["setup_commands"] if "uv pip install" in command)
    assert "-c constraints.txt -e '.[cluster]'" in install


def test_its_shell_is_sound():
    assert complaints((FOLDER / "environment.sh").read_text()) == ""
    for kind in ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
        for command in CONFIG[kind]:
            # What is sourced lies on the machine; Ray puts RAY_HEAD_IP, a number, in front.
            text = f"# shellcheck disable=SC1090\nexport RAY_HEAD_IP=10.0.0.1\n{command}\n"
            assert complaints(text.replace("$RAY_HEAD_IP", '"$RAY_HEAD_IP"')) == ""


def test_the_sweeps_command_line_is_one_and_has_a_budget_and_all_it_writes_is_on_the_file_system():
    commented = " ".join(line[1:].strip(" \\") for line in TEXT.splitlines() if line.startswith("#"))
    argv = re.search(r"python -m dermtune\.sweep ([^']*)'", commented)[1]
    asked = arguments.parse(shlex.split(argv))
    assert asked.max_usd is not None
    assert asked.address == "auto"
    assert {str(path).split("/")[1] for path in (asked.out, asked.data)} == {"shared"}
    assert (ROOT / asked.file).is_file()
