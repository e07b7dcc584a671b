"""The throughput benchmark at a size that takes seconds: both trainers run, neither Ray nor MLflow is loaded."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from tests.benchmarks import throughput
from tests.benchmarks.device_rates import attention_times, matrix_rate
from tests.benchmarks.trainers import CLASSES, stock

ROOT = Path(__file__).parents[1]
SMALL = [
    "--model",
    "tiny",
    "--image-size",
    "32",
    "--batch",
    "2",
    "--steps",
    "2",
    "--warm-up",
    "1",
    "--accumulation",
    "2",
]
WITHOUT = """
import sys
from tests.benchmarks import throughput
throughput.main(sys.argv[1:])
loaded = {"ray", "mlflow"}.intersection(sys.modules)
sys.exit(f"loaded {loaded}" if loaded else 0)
"""


@pytest.fixture
def images(tmp_path):
    file = tmp_path / "images.npy"
    throughput.draw(file, asked())
    return file


def asked():
    return throughput._parser().parse_args(SMALL)


def test_dermtunes_trainer_is_timed_in_a_process_that_loads_neither_ray_nor_mlflow(images):
    command = [sys.executable, "-c", WITHOUT, *SMALL, "--side", "ours", "--images", str(images)]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["rate"] > 0
    assert found["cpu"] > 0
    assert 0 < found["wait"] < 1
    assert found["memory"] > 10**7


def test_the_peer_trains_the_same_images_and_both_stand_in_one_table(images, monkeypatch):
    threads = torch.get_num_threads()
    shown = np.load(images)
    found = stock(asked(), shown, np.arange(len(shown)) % len(CLASSES))
    torch.set_num_threads(threads)
    assert found["rate"] > 0
    twice = {"stock": found, "ours": {**found, "rate": 2 * found["rate"], "cpu": found["cpu"] / 4}}
    monkeypatch.setattr(throughput, "in_a_process", lambda side, images, argv: twice[side])
    monkeypatch.setattr(throughput, "device_name", lambda: "NVIDIA A100-SXM4-80GB")
    console = Console(record=True, width=140, highlight=False)
    throughput.compare(asked(), SMALL, console)
    said = console.export_text()
    assert "ours over stock: 2.000 in images a second, 0.250 in CPU time an image" in said
    assert "known peak: 19.500 TFLOP/s" in said
    assert "measured peak: none" in said


def test_attention_kernels_that_a_device_has_are_timed_and_of_the_others_it_is_said_why():
    cpu = torch.device("cpu")
    times = dict(attention_times((1, 2, 16, 72), cpu, torch.float32, seconds=0.0))
    assert times["products one by one"] > 0
    assert times["flash"] > 0  # heads 72 wide, too
    assert "No viable backend" in times["cuDNN"]
    assert matrix_rate(cpu, torch.float32, seconds=0.0) > 1e6
