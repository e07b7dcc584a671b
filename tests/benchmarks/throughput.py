"""Images a second in training: dermtune's Trainer and transformers' own, on the same model, batch and precision.

Run:      python -m tests.benchmarks.throughput --measure-peak     (So400m/14 at 448 px, on a GPU)
          python -m tests.benchmarks.throughput --model tiny --measure-peak     (on a CPU, minutes)
Measures: whole optimiser steps, loading included, in turn in processes of their own: images a second, model FLOP
          utilisation, peak memory, the share of the time in which the next images were waited for. Random weights
          and images; neither Ray nor MLflow. The peer is what its documentation shows: a dataset that makes an
          image's tensor by the model's processor, the default collator, loading processes where there is a GPU. It
          is spared decoding and resizing, which dermtune has done before.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch
import transformers
from rich.console import Console
from rich.table import Table

from dermtune.arguments import pass_size
from dermtune.config import Attention, Config
from dermtune.device import device_name, in_bfloat16, reproducible
from dermtune.flops import peak_flops
from dermtune.trainee import flops_of
from tests.benchmarks.device_rates import SECONDS, attention_times, chosen_kernel, matrix_rate
from tests.benchmarks.trainers import CLASSES, MEMORY, ON_GPU, config_of, found_micro_batch, ours, stock

AHEAD = 2
"""Batches that each of the peer's loading processes makes ahead of the training, as PyTorch has it."""

SIDES = {"stock": stock, "ours": ours}


def in_a_process(side: str, images: Path, argv: Sequence[str]) -> Mapping[str, float]:
    """What a side measured in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.throughput", *argv, "--side", side, "--images", str(images)]
    return json.loads(
        subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()[-1]
    )


def draw(file: Path, asked: argparse.Namespace) -> None:
    """Random images: as many as the steps show and as the peer makes ahead, and at least one of each class.

    So it makes as many while it is timed as it trains on then, though the first of those were made before.
    """
    shown = asked.batch * asked.accumulation * (asked.warm_up + asked.steps)
    n = max(len(CLASSES), shown + AHEAD * asked.workers * asked.batch)
    rng = np.random.default_rng(0)
    shape = (n, asked.image_size, asked.image_size, 3)
    images = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    for i in range(n):
        images[i] = rng.integers(0, 256, shape[1:], dtype=np.uint8)
    images.flush()


def compare(asked: argparse.Namespace, argv: Sequence[str], console: Console) -> None:
    """Both sides in turn, and how they stand."""
    config = config_of(asked)
    flops, peak = (
        flops_of(config, CLASSES).training,
        peak_flops(device_name(), bfloat16=in_bfloat16(config.training)),
    )
    measured = matrix_rate(*arithmetic(config)) if asked.measure_peak else None
    found: dict[str, list[Mapping[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        draw(images, asked)
        for _ in range(asked.rounds):
            for side in SIDES:
                found[side].append(in_a_process(side, images, argv))
    console.print(f"{device_name()}, {flops / 1e9:,.1f} GFLOP a training image; medians of {asked.rounds} rounds")
    for name, of in (("known", peak), ("measured", measured)):
        console.print(f"{name} peak: " + ("none" if of is None else f"{of / 1e12:,.3f} TFLOP/s"))
    columns = ("images/s", "each round", "CPU ms an image", "TFLOP/s", "of the known peak", "of the measured")
    table = Table("", *columns, f"GiB {MEMORY}", "waiting")
    for side, rounds in found.items():
        rate, cpu, wait, memory = (middle(rounds, what) for what in ("rate", "cpu", "wait", "memory"))
        shares = ["" if of is None else f"{rate * flops / of:.1%}" for of in (peak, measured)]
        each = " ".join(f"{r['rate']:.4g}" for r in rounds)
        speed = [f"{rate:.4g}", each, f"{1000 * cpu:.4g}", f"{rate * flops / 1e12:.4g}", *shares]
        table.add_row(side, *speed, f"{memory / 2**30:.2f}", f"{wait:.2%}")
    console.print(table)
    faster, cheaper = (middle(found["ours"], what) / middle(found["stock"], what) for what in ("rate", "cpu"))
    console.print(f"ours over stock: {faster:.3f} in images a second, {cheaper:.3f} in CPU time an image")


def middle(rounds: Sequence[Mapping[str, float]], what: str) -> float:
    return statistics.median(found[what] for found in rounds)


def arithmetic(config: Config) -> tuple[torch.device, torch.dtype]:
    """Where products are made, and in what."""
    dtype = torch.bfloat16 if in_bfloat16(config.training) else torch.float32
    return torch.device("cuda" if ON_GPU else "cpu"), dtype


def print_attention(asked: argparse.Namespace, console: Console, seconds: float = SECONDS) -> None:
    """Each kernel's time at the model's sizes, and the fastest."""
    config = config_of(asked)
    vision = config.model.settings["vision_config"]
    heads, patches = vision["num_attention_heads"], (asked.image_size // vision["patch_size"]) ** 2
    shape = (asked.batch, heads, patches, vision["hidden_size"] // heads)
    where = arithmetic(config)
    with reproducible(0, asked.threads, strict=not asked.any_kernel):
        if asked.any_kernel:
            torch.use_deterministic_algorithms(False)
        times, chosen = dict(attention_times(shape, *where, seconds)), chosen_kernel(shape, *where)
    for name, took in times.items():
        console.print(f"{name}: " + (f"{1000 * took:.2f} ms" if isinstance(took, float) else f"none ({took[:90]})"))
    fastest = min((took, name) for name, took in times.items() if isinstance(took, float))
    console.print(f"fastest for {list(shape)}: {fastest[1]}; PyTorch takes by itself: {chosen}")


def main(argv: Sequence[str]) -> None:
    asked, console = _parser().parse_args(argv), Console(highlight=False, width=140)
    transformers.logging.set_verbosity_error()
    asked.image_size = asked.image_size or (448 if asked.model == "so400m" else 64)
    if asked.side:
        images = np.load(asked.images, mmap_mode="r")
        labels = np.arange(len(images)) % len(CLASSES)
        sys.stdout.write(json.dumps(SIDES[asked.side](asked, images, labels)) + "\n")
    elif asked.attention:
        print_attention(asked, console)
    elif asked.find_batch:
        asked.micro_batch = "auto"
        found = found_micro_batch(asked)
        console.print(
            f"of {asked.batch * asked.accumulation} images a pass holds {found or 'what the recipe says'}"
        )
    else:
        compare(asked, argv, console)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.throughput", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--model", choices=("so400m", "tiny"), default="so400m")
    add("--image-size", type=int, help="default: 448, of tiny 64")
    add("--batch", type=int, default=32, help="images a forward pass")
    add("--accumulation", type=int, default=1, help="passes an optimiser step")
    add("--micro-batch", type=pass_size, help="images a pass of dermtune's, or auto; default: --batch")
    add("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    add("--steps", type=int, default=20, help="optimiser steps that are timed")
    add("--warm-up", type=int, default=3, help="steps before them")
    add("--rounds", type=int, default=3)
    add("--threads", type=int, default=1 if not ON_GPU else max(1, (os.cpu_count() or 1) // 2))
    add(
        "--workers",
        type=int,
        default=min(8, os.cpu_count() or 1) if ON_GPU else 0,
        help="the peer's loading processes",
    )
    add("--attend-by", choices=get_args(Attention), default="auto", help="dermtune's attention")
    add("--compile", action="store_true", help="dermtune compiles the backbone's blocks")
    add("--gradient-checkpointing", action="store_true", help="both compute activations twice")
    add("--any-kernel", action="store_true", help="dermtune may use kernels that give other bits")
    add("--measure-peak", action="store_true", help="utilisation of the rate of a matrix product measured here too")
    add("--attention", action="store_true", help="time the attention kernels of this device at the model's sizes")
    add("--find-batch", action="store_true", help="how many of a step's images a pass can hold here")
    add("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    add("--images", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
