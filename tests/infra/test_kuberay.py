"""`rayjob.yaml`: every object is one that Kubernetes and KubeRay take, and it keeps what its comments promise."""

import copy
import json
import re
import shlex

import jsonschema
import kubernetes_validate
import pytest
import yaml

from dermtune import arguments
from tests.tiny_sweep import ROOT

TEXT = (ROOT / "infra" / "kuberay" / "rayjob.yaml").read_text()
CLAIM, JOB = yaml.safe_load_all(TEXT)
SCHEMA = json.loads((ROOT / "tests" / "reference" / "rayjob.schema.json").read_text())
CLUSTER = JOB["spec"]["rayClusterSpec"]
KUBERNETES = kubernetes_validate.latest_version()

PODS = {
    "submitter": JOB["spec"]["submitterPodTemplate"]["spec"],
    "head": CLUSTER["headGroupSpec"]["template"]["spec"],
    **{group["groupName"]: group["template"]["spec"] for group in CLUSTER["workerGroupSpecs"]},
}


def check_pod(spec):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def changed(value, path, new):
    """The value with what lies at the path replaced."""
    value = copy.deepcopy(value)
    part = value
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = new
    return value


def test_kubernetes_takes_the_claim_and_every_pod():
    kubernetes_validate.validate(CLAIM, KUBERNETES, strict=True)
    for spec in PODS.values():
        check_pod(spec)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("containers", 0, "imagePulPolicy"), "Always"),
        (("containers", 0, "env", 2, "valueFrom", "secretKeyRef", "key"), None),
        (("volumes", 0, "persistentVolumeClaim", "claim"), "dermtune"),
        (("securityContext", "runAsUser"), "root"),
    ],
)
def test_a_pod_with_a_slip_in_it_would_not_pass(path, wrong):
    with pytest.raises(kubernetes_validate.ValidationError):
        check_pod(changed(PODS["h100"], path, wrong))


def test_kuberay_takes_the_job():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(JOB, SCHEMA)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("spec", "activeDeadlineSecond"), 3600),
        (("spec", "activeDeadlineSeconds"), 0),
        (("spec", "rayClusterSpec", "authOptions", "mode"), "tokens"),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "minReplica"), 2),
    ],
)
def test_a_job_with_a_slip_in_it_would_not_pass(path, wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(JOB, path, wrong), SCHEMA)


def test_the_cluster_goes_when_the_sweep_has_ended_and_has_a_last_hour():
    spec = JOB["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] <= 3600
    assert spec["activeDeadlineSeconds"] <= 7 * 86400


def test_the_sweeps_command_line_is_one_and_has_a_budget_and_all_it_writes_is_on_the_claim():
    python, module, name, *argv = shlex.split(JOB["spec"]["entrypoint"])
    assert [python, module, name] == ["python", "-m", "dermtune.sweep"]
    asked = arguments.parse(argv)
    assert asked.max_usd is not None
    assert asked.address == "auto"
    assert str(asked.out).startswith("/shared/")
    for pod in (PODS["head"], PODS["h100"]):
        mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        (volume,) = (volume for volume in pod["volumes"] if volume["name"] == mounts["/shared"])
        assert volume["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]


def test_the_sweep_of_the_command_line_is_in_the_image():
    path = shlex.split(JOB["spec"]["entrypoint"])[3]
    assert (ROOT / path.removeprefix("/work/")).is_file()
    assert "COPY sweeps /work/sweeps" in (ROOT / "infra" / "Dockerfile").read_text()


@pytest.mark.parametrize("pod", PODS)
def test_no_pod_runs_as_root_or_may_become_it(pod):
    spec = PODS[pod]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert f"USER {spec['securityContext']['runAsUser']}\n" in (ROOT / "infra" / "Dockerfile").read_text()
    for container in spec["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_every_token_comes_from_a_secret_and_ray_asks_for_one():
    assert CLUSTER["authOptions"] == {"mode": "token"}
    secret = {
        entry["name"]
        for pod in PODS.values()
        for entry in pod["containers"][0].get("env", ())
        if re.search("TOKEN|PASSWORD|KEY", entry["name"]) and "secretKeyRef" in entry.get("valueFrom", {})
    }
    assert secret == set(re.findall(r"name: (\w*(?:TOKEN|PASSWORD|KEY)\w*)$", TEXT, re.MULTILINE)) == {"HF_TOKEN"}


def test_ray_is_the_version_that_is_pinned():
    assert f"ray=={CLUSTER['rayVersion']}\n" in (ROOT / "constraints.txt").read_text()


def test_the_nodes_with_gpus_are_there_before_the_sweep_begins():
    (group,) = CLUSTER["workerGroupSpecs"]
    assert group["minReplicas"] >= 1
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
