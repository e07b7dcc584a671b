"""The systemd unit of infra/mlflow on a machine without systemd: laid out as its README says, below a folder."""

import contextlib
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.tiny_sweep import ROOT
from tests.tracking_server import (
    ACCESS,
    BUCKET,
    PASSWORD,
    SUPERUSER,
    free_port,
    kill_group,
    postgres,
    s3,
    serve,
)

HERE = ROOT / "infra" / "mlflow"
INSTALLED = ("start.sh", "auth.ini", "make_bucket.py", "databases.sql", "README.md")
"""Files that /opt/dermtune-mlflow has, beside the virtual environment."""
OURS = re.compile(r"/(?:opt|etc|var/lib)/dermtune-mlflow\b")
"""The places of the unit; below a folder they are as at /."""
SECRETS = {
    "PGPASSWORD": PASSWORD,
    "AWS_SECRET_ACCESS_KEY": ACCESS["AWS_SECRET_ACCESS_KEY"],
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "geheim-flask",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "geheim-admin-1",
}
NAME = "mlflow.test"
"""The server's name, to which its allowed hosts keep it; 127.0.0.1 with its port is the other one."""

Settings = Mapping[str, list[str]]


def settings_of(unit: str) -> Settings:
    """Values of every key of the unit's text, in their order."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in unit.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[key].append(value)
    return found


def variables(lines: list[str]) -> dict[str, str]:
    """What `NAME=value` lines set, quotes and escapes excluded: systemd and compose read those each in its way."""
    set_here = [line for line in lines if line and not line.startswith("#")]
    assert not [line for line in set_here if re.search(r"[\\\"'$`\s]", line)]
    return dict(line.split("=", 1) for line in set_here)


@dataclass(kw_only=True)
class UnitServer:
    """What systemd would start: the unit's ExecStart, with the environment that the unit gives it and no other."""

    root: Path
    """Stands for /."""
    port: int
    process: "subprocess.Popen[bytes] | None" = None
    secrets: Mapping[str, str] = field(default_factory=lambda: SECRETS)

    @property
    def unit(self) -> Path:
        return self.root / "mlflow.service"

    @property
    def settings(self) -> Settings:
        return settings_of(self.unit.read_text())

    @property
    def state(self) -> Path:
        return Path(self.settings["WorkingDirectory"][0])

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.state / "server.log").read_text()

    @property
    def environment(self) -> dict[str, str]:
        (file,) = self.settings["EnvironmentFile"]
        return variables(self.settings["Environment"]) | variables(Path(file).read_text().splitlines())

    @property
    def command(self) -> list[str]:
        (command,) = self.settings["ExecStart"]
        return command.split()

    def start(self) -> None:
        """Returns once it answers."""
        self.process = serve(self.command, self.environment, self.state, self.uri)

    def stop(self) -> None:
        if self.process is not None:
            kill_group(self.process)

    def run(self, *more: str, without: str = "", seconds: float = 120) -> "subprocess.CompletedProcess[str]":
        """ExecStart after its end, with further words and without one of its settings."""
        environment = {name: value for name, value in self.environment.items() if name != without}
        return self.shell([*self.command, *more], environment, seconds)

    def shell(
        self, command: list[str], environment: Mapping[str, str] | None = None, seconds: float = 120
    ) -> "subprocess.CompletedProcess[str]":
        """A command in the unit's environment and its state folder, after its end."""
        return subprocess.run(
            command,
            env=dict(self.environment if environment is None else environment),
            cwd=self.state,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )


def installed(root: Path, values: Mapping[str, str], port: int) -> UnitServer:
    """The unit and all that it starts, with these values in its environment file."""
    places = [root / place / "dermtune-mlflow" for place in ("opt", "etc", "var/lib")]
    for place in places:
        place.mkdir(parents=True)
    opt, etc, _ = places
    for name in INSTALLED:
        shutil.copy(HERE / name, opt)
    (opt / "venv").symlink_to(sys.prefix)
    example = (HERE / "mlflow.env.example").read_text()
    assert values.keys() <= variables(example.splitlines()).keys()
    for name, value in values.items():
        example = re.sub(rf"^{name}=.*$", f"{name}={value}", example, flags=re.MULTILINE)
    (etc / "mlflow.env").write_text(example)
    server = UnitServer(root=root, port=port)
    server.unit.write_text(below(root, (HERE / "mlflow.service").read_text()))
    return server


def below(root: Path, text: str) -> str:
    """The text with the unit's places below the root."""
    return OURS.sub(lambda place: f"{root}{place[0]}", text)


@contextlib.contextmanager
def unit_server(root: Path) -> Iterator[UnitServer]:
    """The server with Debian's PostgreSQL and moto's S3 behind it, both empty of anything; not started yet."""
    with postgres() as database, s3(bucket=None) as endpoint:
        port = free_port()
        values = {
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"{NAME},127.0.0.1:{port}",
            "MLFLOW_PORT": str(port),
            "MLFLOW_WORKERS": "1",
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/runs",
            "MLFLOW_S3_ENDPOINT_URL": endpoint,
            "PGPORT": str(database),
            **ACCESS,
            **SECRETS,
        }
        server = installed(root, values, port)
        try:
            yield server
        finally:
            server.stop()


def fill(server: UnitServer) -> None:
    """Make the role, the databases and the bucket, as README and compose file do."""
    made = psql(server, "--file", str(HERE / "databases.sql"))
    assert made.returncode == 0, made.stdout
    services = yaml.safe_load((HERE / "compose.yaml").read_text())["services"]
    make_bucket = [below(server.root, word) for word in services["bucket"]["entrypoint"]]
    for _ in range(2):  # the second time it is there
        made = server.shell(make_bucket)
        assert made.returncode == 0, made.stdout


def psql(server: UnitServer, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """PostgreSQL's own client as the superuser of the test's server."""
    return server.shell(["psql", "--username", SUPERUSER, "--dbname", "postgres", *arguments])
