"""MLflow servers, run for real: on SQLite, and on PostgreSQL with artifacts in moto's S3. Neither has users."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from tests.tiny_sweep import wait_until

BUCKET = "mlflow"
ACCESS = {"AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": "geheim-s3", "AWS_DEFAULT_REGION": "us-east-1"}
"""The server's own; no client has them."""
SUPERUSER, PASSWORD = "postgres", "geheim-postgres"


@dataclass(kw_only=True)
class TrackingServer:
    """`mlflow server` on a port of its own, which it keeps when it is started again."""

    folder: Path
    """Its log, and what it keeps on disk."""
    store: str
    """URI of its database."""
    artifacts: str
    """Where it keeps files."""
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lambda: free_port())
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it answers."""
        where = ("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1")
        what = ("--backend-store-uri", self.store, "--artifacts-destination", self.artifacts)
        hosts = ("--allowed-hosts", f"127.0.0.1:{self.port}")
        command = [sys.executable, "-m", "mlflow", "server", *what, *where, *hosts]
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", **self.environment}
        self.process = serve(command, environment, self.folder, self.uri)

    def kill(self) -> None:
        """`kill -9` of the server and its workers; nothing where it does not run."""
        if self.process is not None:
            kill_group(self.process)


def serve(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, uri: str
) -> "subprocess.Popen[bytes]":
    """The server's process, in this environment and no other, once it answers; its log is in the folder."""
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(lambda: answers(f"{uri}/health"), f"{uri} ({folder}/server.log)")
    except BaseException:
        kill_group(process)
        raise
    return process


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """`kill -9` of a server and its workers; nothing where it does not run."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def sqlite_server(folder: Path) -> Iterator[TrackingServer]:
    """A server that keeps all on its own disk; not started yet."""
    server = TrackingServer(
        folder=folder, store=f"sqlite:///{folder / 'server.db'}", artifacts=str(folder / "files")
    )
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def team_server(folder: Path) -> Iterator[TrackingServer]:
    """A server with PostgreSQL and S3 behind it; not started yet."""
    with postgres() as port, s3() as endpoint:
        store = f"postgresql+psycopg2://{SUPERUSER}:{PASSWORD}@127.0.0.1:{port}/postgres"
        environment = {**ACCESS, "MLFLOW_S3_ENDPOINT_URL": endpoint}
        server = TrackingServer(
            folder=folder, store=store, artifacts=f"s3://{BUCKET}/runs", environment=environment
        )
        try:
            yield server
        finally:
            server.kill()


def s3_client(endpoint: str) -> Any:
    """What looks into the bucket past the server."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ACCESS["AWS_SECRET_ACCESS_KEY"],
        region_name=ACCESS["AWS_DEFAULT_REGION"],
    )


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """URI of a server that accepts every connection and answers none."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def postgres_programs() -> Path | None:
    """Folder of PostgreSQL's programs, which Debian keeps out of the PATH; None where it is not installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or (debian and debian[-1])
    return Path(found).parent if found else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def postgres() -> Iterator[int]:
    """Port of a PostgreSQL of its own, which refuses root and so runs as its own user."""
    programs, port = postgres_programs(), free_port()
    assert programs is not None
    user: dict[str, Any] = {"user": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="dermtune-postgres-", dir="/tmp"))  # pytest's own is closed to others
    (folder / "password").write_text(PASSWORD)
    if user:
        shutil.chown(folder, "postgres")
    data = folder / "data"
    init = ("--username", SUPERUSER, "--pwfile", folder / "password", "--auth", "scram-sha-256", "--no-sync")
    subprocess.run([programs / "initdb", "-D", data, *init], check=True, capture_output=True, cwd=folder, **user)
    settings = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, "-p", str(port), *settings],
        cwd=folder,
        stderr=subprocess.DEVNULL,
        **user,
    )
    try:
        wait_until(lambda: _accepts(port), "PostgreSQL")
        yield port
    finally:
        server.send_signal(signal.SIGINT)  # its word for: leave at once, in order
        server.wait()
        shutil.rmtree(folder)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def s3(bucket: str | None = BUCKET) -> Iterator[str]:
    """Endpoint of an S3 with an empty bucket, or with none."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _accepts(port), "S3")
        endpoint = f"http://127.0.0.1:{port}"
        if bucket:
            s3_client(endpoint).create_bucket(Bucket=bucket)
        yield endpoint
    finally:
        server.kill()
        server.wait()
