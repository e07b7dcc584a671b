"""How long MLflow may take: its settings for this process, and what is allowed for files. No mlflow here."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
DEFAULTS = {
    # The exporter's own retry asks first what has arrived; MLflow's repeats a request blindly, for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    TIMEOUT: "10",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Settings for this process where the user has made none."""
SLOWEST_BYTES_A_SECOND = 1e6
"""A server that takes files more slowly counts as one that does not answer."""


def configure() -> None:
    """Set what MLflow reads as it is imported and at each request."""
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def seconds_to_send(paths: Sequence[Path]) -> float:
    """The longest that a server may take for these files, and for all in these folders: it may pass them on."""
    files = [file for path in paths for file in (path, *path.rglob("*")) if file.is_file()]
    return len(files) + sum(file.stat().st_size for file in files) / SLOWEST_BYTES_A_SECOND


@contextlib.contextmanager
def patient(path: Path) -> Iterator[None]:
    """Requests with a longer timeout: a server answers an upload once it has passed the file on."""
    usual = os.environ.get(TIMEOUT, DEFAULTS[TIMEOUT])
    os.environ[TIMEOUT] = str(int(usual) + round(seconds_to_send([path])))
    try:
        yield
    finally:
        os.environ[TIMEOUT] = usual
