"""The team's MLflow server of infra/mlflow: started as its unit says, a sweep sends to it, nobody else gets in."""

import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import warnings
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import pytest
import yaml

from dermtune.export import main as export
from dermtune.ledger import SweepFolder
from tests.infra.mlflow_unit import (
    HERE,
    NAME,
    SECRETS,
    below,
    fill,
    installed,
    psql,
    settings_of,
    unit_server,
    variables,
)
from tests.secret_files import holding
from tests.tiny_sweep import ROOT, TinySweep
from tests.tracked_sweep import QUESTION, finish, planned
from tests.tracking_server import BUCKET, SUPERUSER, postgres_programs, s3_client

ADMIN = ("admin", SECRETS["MLFLOW_AUTH_ADMIN_PASSWORD"])
README, START = (HERE / "README.md").read_text(), (HERE / "start.sh").read_text()
UNIT = settings_of((HERE / "mlflow.service").read_text())
EXAMPLE = variables((HERE / "mlflow.env.example").read_text().splitlines())
SERVICES = yaml.safe_load((HERE / "compose.yaml").read_text())["services"]
OF_CONTAINERS = {"MLFLOW_HOST", "PGHOST", "PGPORT", "MLFLOW_S3_ENDPOINT_URL"}
"""Addresses, which each container has of its own."""

OLDER = """
import sys
from alembic import command
from alembic.script import ScriptDirectory
from mlflow.store.db.utils import _get_alembic_config, create_sqlalchemy_engine
from mlflow.store.tracking.dbmodels.initial_models import Base

Base.metadata.create_all(create_sqlalchemy_engine(sys.argv[1]))
migrations = _get_alembic_config(sys.argv[1])
newest = ScriptDirectory.from_config(migrations).get_revision("head")
command.upgrade(migrations, newest.down_revision)
print(newest.revision)
"""
"""Makes MLflow's tables as they were before their last change, and prints the name of that."""


def blocks(language, section):
    """The README's blocks of this language in the section."""
    text = README.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """The server with an empty PostgreSQL and an empty S3, which README and compose file then fill."""
    if postgres_programs() is None or shutil.which("psql") is None:
        pytest.skip("needs PostgreSQL (Debian: postgresql)")
    with unit_server(tmp_path_factory.mktemp("machine")) as server:
        fill(server)
        yield server


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What the server said before it was started."""

    newest: str
    """The last change to MLflow's tables."""
    versions: Sequence[str]
    """The last change that they had before the upgrade, and after it; that of the users' tables after it."""
    upgrade: "subprocess.CompletedProcess[str]"
    without_admin: "subprocess.CompletedProcess[str]"
    """With no password for an admin, and no user yet."""


@pytest.fixture(scope="module")
def before(machine):
    older = machine.shell(
        ["env", "PGUSER=mlflow", "python", "-W", "ignore", "-c", OLDER, "postgresql+psycopg2:///mlflow"]
    )
    assert older.returncode == 0, older.stdout
    versions = [version(machine, "mlflow", "alembic_version")]
    upgrade = machine.run("upgrade")
    versions += [
        version(machine, "mlflow", "alembic_version"),
        version(machine, "mlflow_auth", "alembic_version_auth"),
    ]
    return Before(
        newest=older.stdout.splitlines()[-1],
        versions=versions,
        upgrade=upgrade,
        without_admin=machine.run(without="MLFLOW_AUTH_ADMIN_PASSWORD"),
    )


def version(machine, database, table):
    return psql(
        machine, "--tuples-only", "--dbname", database, "-c", f"SELECT version_num FROM {table}"
    ).stdout.strip()


@pytest.fixture(scope="module")
def team(machine, before):
    """The server at work."""
    machine.start()
    return machine


@pytest.fixture(scope="module")
def made(team):
    """Names that the README's lines bind, which make a user."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(action="ignore"):  # MLflow's own imports
        sign_in(patch, ADMIN)
        names = {}
        exec(blocks("python", "Users")[0].replace("https://mlflow.example.org", team.uri), names)
    return names


@pytest.fixture(scope="module")
def anna(made):
    """Her name and password."""
    return "anna", made["password"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A sweep that has ended, what it said, and where Ray left its logs."""

    tiny: TinySweep
    returncode: int
    output: str
    ray: Path


@pytest.fixture(scope="module")
def sent(team, anna, tmp_path_factory):
    """Anna's sweep of two trials."""
    here = tmp_path_factory.mktemp("sweep")
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp", ignore_cleanup_errors=True) as ray:
        environment = {"MLFLOW_TRACKING_USERNAME": anna[0], "MLFLOW_TRACKING_PASSWORD": anna[1]}
        tiny = TinySweep.written(here / "here", here / "shared")
        tiny = replace(tiny, environment={**environment, "TMPDIR": ray, "RAY_TMPDIR": ray})
        done = tiny.run("--tracking-uri", team.uri, "--seeds", "1")
        yield Sent(tiny=tiny, returncode=done.returncode, output=done.stdout, ray=Path(ray))


def finished(path, n_seeds):
    """The folder of a sweep as it is at its end."""
    the_plan = planned(n_seeds=n_seeds)
    folder = SweepFolder(path)
    folder.write_plan(the_plan, QUESTION)
    for trial in the_plan.trials:
        finish(folder, trial)


def sign_in(patch, who):
    for name, value in zip(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"), who, strict=True):
        patch.setenv(name, value)


def status(url, user=None, host=None):
    """HTTP status of a request, by this user and with this Host header."""
    request = urllib.request.Request(url)
    if user:
        request.add_header("Authorization", "Basic " + b64encode(":".join(user).encode()).decode())
    if host:
        request.add_header("Host", host)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status
    except urllib.error.HTTPError as refused:
        return refused.code


def sizes(folder):
    """Bytes of every file below the folder, by its path there."""
    return {str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()}


def test_an_upgrade_brings_both_databases_to_what_this_mlflow_needs(before):
    assert before.upgrade.returncode == 0, before.upgrade.stdout
    older, newer, users = before.versions
    assert older != before.newest
    assert newer == before.newest
    assert re.fullmatch(r"[0-9a-f]{12}", users)


def test_there_is_no_admin_without_a_password_that_somebody_chose(before):
    assert before.without_admin.returncode == 1
    assert "MLFLOW_AUTH_ADMIN_PASSWORD" in before.without_admin.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("name", [*re.search(r"for name in (.*); do", START)[1].split()])
def test_a_setting_that_is_missing_is_named_in_a_line_and_nothing_is_started(name, machine):
    refused = machine.run(without=name)
    assert (refused.returncode, refused.stdout.count("\n")) == (2, 1)
    assert refused.stdout.strip().endswith(f"must be set and not empty, see mlflow.env.example: {name}")
    assert UNIT["RestartPreventExitStatus"] == ["2"]


def test_a_sweep_with_user_and_password_is_in_the_server_and_its_files_in_the_bucket(sent, team, anna, monkeypatch):
    assert sent.returncode == 0, sent.output
    assert "is not up to date" not in sent.output
    sign_in(monkeypatch, anna)
    found = sent.tiny.mlflow_runs(team.uri)
    assert {run.info.status for run in found} == {"FINISHED"}
    assert len(found) == 1 + len(sent.tiny.trials()) == 3
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    s3 = s3_client(team.environment["MLFLOW_S3_ENDPOINT_URL"])
    files = s3.list_objects_v2(Bucket=BUCKET, Prefix="runs/")["Contents"]
    in_bucket = {
        file["Key"].partition("/report/")[2]: file["Size"] for file in files if parent.info.run_id in file["Key"]
    }
    assert in_bucket == sizes(sent.tiny.folder / "report")
    listed = mlflow.MlflowClient(team.uri).list_artifacts(parent.info.run_id, "report")
    assert "report/report.html" in {file.path for file in listed}


def test_no_secret_of_server_or_user_is_printed_or_in_a_file_but_the_servers_settings(sent, team, anna):
    folders = (sent.tiny.here, sent.ray, team.root / "opt" / "dermtune-mlflow", team.state)
    for secret in (*SECRETS.values(), anna[1]):
        assert secret not in sent.output
        assert holding(secret, *folders) == []


def test_without_a_password_or_with_a_wrong_one_nobody_gets_in(team, anna):
    asked = f"{team.uri}/api/2.0/mlflow/experiments/search?max_results=1"
    assert status(asked, anna) == 200
    assert status(asked) == 401
    assert status(asked, ("anna", "guessed")) == 401
    assert status(asked, ("admin", "password1234")) == 401, "what older MLflows began with"
    assert status(f"{team.uri}/api/2.0/mlflow-artifacts/artifacts") == 401
    assert status(team.uri) == 401
    assert status(f"{team.uri}/health") == 200


def test_by_a_name_that_is_not_among_its_allowed_hosts_it_is_not_reached(team, anna):
    asked = f"{team.uri}/api/2.0/mlflow/experiments/search?max_results=1"
    assert status(asked, anna, NAME) == 200
    assert status(asked, anna, "rebound.example.org") == 403
    assert status(asked, anna, f"localhost:{team.port}") == 403


@pytest.mark.parametrize(
    ("user", "by", "words"),
    [
        (None, "127.0.0.1", "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"),
        (("anna", "guessed"), "127.0.0.1", "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (ADMIN, "localhost", "MLFLOW_SERVER_ALLOWED_HOSTS"),
    ],
    ids=["no password", "a wrong password", "another name"],
)
def test_an_export_that_is_refused_says_in_a_line_which_variables_to_set(
    user, by, words, team, tmp_path, monkeypatch, capsys
):
    finished(tmp_path, n_seeds=1)
    if user:
        sign_in(monkeypatch, user)
    assert export([str(tmp_path), "--tracking-uri", f"http://{by}:{team.port}"]) == 1
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said
    assert "guessed" not in said


def test_two_of_a_team_send_to_one_experiment_until_one_of_them_is_kept_out_of_it(
    team, made, anna, tmp_path, monkeypatch, capsys
):
    command = [str(tmp_path), "--tracking-uri", team.uri]
    for who, n_seeds in ((ADMIN, 1), (anna, 2)):
        finished(tmp_path, n_seeds=n_seeds)
        sign_in(monkeypatch, who)
        assert export(command) == 0
    sign_in(monkeypatch, ADMIN)
    experiment = mlflow.MlflowClient(team.uri).get_experiment_by_name("focal")
    exec(blocks("python", "Users")[1], {**made, "experiment_id": experiment.experiment_id})
    finished(tmp_path, n_seeds=3)
    sign_in(monkeypatch, anna)
    capsys.readouterr()
    assert export(command) == 1
    assert "the permission EDIT on the experiment is needed" in capsys.readouterr().err
    for who, n_runs in ((anna, 0), (ADMIN, 1 + 2 * 2)):
        sign_in(monkeypatch, who)
        assert len(mlflow.MlflowClient(team.uri).search_runs([experiment.experiment_id])) == n_runs


def test_the_unit_is_sound_and_exposes_little(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze (Debian: systemd)")
    unit = installed(tmp_path, {}, port=0).unit
    for asked in (["verify", str(unit)], ["security", "--offline=true", "--threshold=20", str(unit)]):
        said = subprocess.run(
            ["systemd-analyze", "--no-pager", *asked], capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stdout + said.stderr
        assert said.stderr == ""


@pytest.mark.parametrize(("linter", "file"), [("shellcheck", "start.sh"), ("hadolint", "Dockerfile")])
def test_the_linters_have_nothing_to_say(linter, file):
    tool = Path(sys.executable).with_name(linter)
    said = subprocess.run([tool, HERE / file], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "")


def test_the_compose_file_keeps_to_the_specification():
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    said = subprocess.run([*check, HERE / "compose.yaml"], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def test_the_container_is_started_as_the_unit_is_with_the_same_settings():
    container = SERVICES["mlflow"]
    assert container["entrypoint"] == UNIT["ExecStart"]
    assert "command" not in container
    assert container["env_file"] == [Path(UNIT["EnvironmentFile"][0]).name]
    by_unit = {**variables(UNIT["Environment"]), **EXAMPLE}
    by_compose = {**EXAMPLE, **container["environment"]}
    differing = {name for name in by_unit | by_compose if by_unit.get(name) != by_compose.get(name)}
    assert differing - {"PATH", "HOME", "PGPORT"} == OF_CONTAINERS - {"PGPORT"}
    assert container["environment"].keys() == OF_CONTAINERS


def test_the_image_holds_what_the_readme_installs_for_the_unit():
    words = (HERE / "Dockerfile").read_text().split()
    (start,) = [word for word in blocks("sh", "Start")[1].splitlines() if word.endswith(" start.sh")]
    assert start.split()[-2] in {word.rstrip("/") for word in words}
    assert {"start.sh", "auth.ini", "make_bucket.py", "requirements.txt"} <= set(words)
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    needed = [line for line in (HERE / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert set(needed) <= set(pinned)


def test_no_container_is_reached_from_another_machine_or_runs_on_a_tag_that_moves():
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert "build" in service or service["image"] == "dermtune-mlflow" or re.search(r":v?\d", service["image"])
        assert "no-new-privileges:true" in service["security_opt"]


def test_whatever_the_compose_file_takes_from_the_settings_is_one_of_them_and_must_be_there():
    taken = re.findall(r"\$\{([^}]*)\}", (HERE / "compose.yaml").read_text())
    assert {name.removesuffix(":?") for name in taken} <= EXAMPLE.keys()
    assert all(name.endswith(":?") for name in taken)


def test_no_secret_has_a_default():
    assert {name for name, value in EXAMPLE.items() if not value} == {*SECRETS, "AWS_ACCESS_KEY_ID"}


DOCKER = f"""#!/bin/sh -e
# A Docker that runs PostgreSQL's programs here, as the user whom its container would let in without a password.
[ "$1 $2 $3" = "compose --env-file mlflow.env" ]
case "$4" in
exec) [ "$5 $6 $7 $8" = "-T --user postgres postgres" ] && shift 8 && PGUSER={SUPERUSER} exec "$@" ;;
start | stop) [ "$5" = mlflow ] ;;
*) exit 1 ;;
esac
"""


@pytest.mark.parametrize("first", [0, 2], ids=["on a machine", "in containers"])
def test_what_the_readme_backs_up_brings_back_every_run_and_user(sent, team, tmp_path, first):
    def counted():
        asked = (("mlflow", "SELECT count(*) FROM runs"), ("mlflow_auth", "SELECT count(*) FROM users"))
        return [psql(team, "--tuples-only", "--dbname", name, "--command", sql).stdout for name, sql in asked]

    def run(commands):
        containers = team.environment if first else {}
        path = f"{tmp_path}:{team.environment['PATH']}"
        done = team.shell(["sh", "-e", "-c", commands], {**containers, "PATH": path})
        assert done.returncode == 0, done.stdout

    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    team.stop()
    before = counted()
    back_up, restore = [below(team.root, block) for block in blocks("sh", "Back up")][first : first + 2]
    run(back_up)
    for name in ("mlflow", "mlflow_auth"):
        psql(team, "--dbname", name, "--command", "DROP OWNED BY mlflow")
    assert counted() != before
    run(restore)
    assert counted() == before
