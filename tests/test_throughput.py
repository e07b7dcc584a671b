"""The throughput benchmark at a size that takes seconds: both trainers run, neither Ray nor MLflow is loaded."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from rich.console import Console
from torch.nn import functional

from dermtune.trainee import trainee
from tests.benchmarks import throughput, trainers
from tests.benchmarks.device_rates import attention_times, chosen_kernel, matrix_rate
from tests.benchmarks.trainers import CLASSES, ours, stock

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
    cpu, shape = torch.device("cpu"), (1, 2, 16, 72)
    times = dict(attention_times(shape, cpu, torch.float32, seconds=0.0))
    assert times["products one by one"] > 0
    assert times["sdpa_flash"] > 0  # heads 72 wide, too
    assert "No viable backend" in times["sdpa_cudnn"]
    assert chosen_kernel(shape, cpu, torch.float32) == "sdpa_flash"
    assert matrix_rate(cpu, torch.float32, seconds=0.0) > 1e6
    console = Console(record=True, width=140, highlight=False)
    before = torch.get_num_threads()
    throughput.print_attention(asked(), console, seconds=0.0)
    torch.set_num_threads(before)
    assert "for [2, 3, 4, 64]" in console.export_text()


def test_kernels_are_timed_on_factors_that_lie_as_a_models_do(make_trial, monkeypatch):
    seen = []
    attend = functional.scaled_dot_product_attention

    def noting(*factors, **how):
        seen.append([factor.stride() for factor in factors[:3]])
        return attend(*factors, **how)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", noting)
    trainee(make_trial().config, CLASSES)(pixel_values=torch.zeros(5, 3, 16, 16))
    of_model = seen.pop()
    dict(attention_times((5, 2, 4, 8), torch.device("cpu"), torch.float32, seconds=0.0))
    assert seen[0] == of_model


def test_the_peer_has_one_batch_however_many_gpus_the_machine_has(images, monkeypatch):
    made = []
    monkeypatch.setattr(transformers.TrainingArguments, "n_gpu", property(lambda self: 8))
    monkeypatch.setattr(trainers.Watch, "watch", lambda self, trainer: made.append(trainer.args.train_batch_size))
    monkeypatch.setattr(transformers.Trainer, "train", lambda self: None)
    monkeypatch.setattr(trainers.Watch, "found", lambda self: {})
    threads = torch.get_num_threads()
    shown = np.load(images)
    stock(asked(), shown, np.arange(len(shown)) % len(CLASSES))
    torch.set_num_threads(threads)
    assert made == [2]


BUSY = """
import sys, time
while time.process_time() < 0.3:
    pass
print(flush=True)
sys.stdin.read()
"""


def test_cpu_time_has_that_of_loading_processes_while_they_run_and_when_they_have_ended():
    before = trainers.cpu_seconds()
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        while_it_runs = trainers.cpu_seconds()
        child.stdin.close()
    assert while_it_runs - before > 0.25
    assert trainers.cpu_seconds() - before > 0.25


def test_passes_may_hold_more_than_the_peers_and_as_many_images_are_drawn_as_it_makes_ahead(tmp_path):
    file = tmp_path / "images.npy"
    wanted = throughput._parser().parse_args([*SMALL, "--micro-batch", "4", "--workers", "3"])
    throughput.draw(file, wanted)
    shown = np.load(file)
    assert len(shown) == 2 * 2 * 3 + throughput.AHEAD * 3 * 2
    before = torch.get_num_threads()
    assert ours(wanted, shown, np.arange(len(shown)) % len(CLASSES))["rate"] > 0
    torch.set_num_threads(before)
