"""Secrets that a sweep is given are in nothing that it writes or prints."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.tracking_server import free_port

PLANTED = {
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow",
    "HF_TOKEN": "planted-huggingface",
    "AWS_SECRET_ACCESS_KEY": "planted-aws",
}
IN_URI = "planted-uri"


def test_no_secret_of_the_environment_or_the_uri_is_printed_or_written_by_a_sweep_or_by_ray(tiny):
    ray = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # pytest's paths are too long for Ray's sockets
    try:
        sweep = replace(tiny, environment={**PLANTED, "RAY_TMPDIR": str(ray)})
        uri = f"http://anna:{IN_URI}@127.0.0.1:{free_port()}"
        ended = sweep.run("--tracking-uri", uri, "--seeds", "1", seconds=400)
        assert ended.returncode == 0, ended.stdout
        files = [path for folder in (tiny.here, ray) for path in folder.rglob("*") if path.is_file()]
        assert {path.name for path in files} >= {"sweep.json", "manifest.json", "report.html", "raylet.out"}
        written = {str(path): path.read_bytes() for path in files} | {"printed": ended.stdout.encode()}
        for secret in (*PLANTED.values(), IN_URI):
            assert [name for name, content in written.items() if secret.encode() in content] == []
        assert "MLflow  http://127.0.0.1:" in ended.stdout
        assert "is not up to date" in ended.stdout
    finally:
        shutil.rmtree(ray)
