"""Heads on kept features: all arms and seeds in one program, one after the other, and with a process each.

Run:      python -m tests.benchmarks.frozen_heads [--rounds N] [--sample N] [--widths D ...]
Measures: CPU seconds, which what else the machine does leaves nearly alone, and peak memory, of 8 arms x 5 seeds on
          drawn features of HAM10000's size (7,012 train images, 1,503 val, 1,500 test; 7 classes): 10 epochs in
          batches of 64 with both mirrors (four views), features as wide as the ham10000 recipe's, 128, and as a
          So400m's, 1,152. `end to end` is all of its processes: Python's start, imports, mapping the features,
          training, the last logits. `loop` is training, scores on val after each epoch, and the last logits.
Compares: all 40 trials in one program; in one process one after the other; a process a trial. Of the last two some
          trials are timed and scaled to 40: the loop, and, where each has a process, the rest too. On one thread.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console

console = Console(highlight=False, soft_wrap=True)

N = {"train": 7012, "val": 1503, "test": 1500}
SHARES = np.array([0.03, 0.05, 0.11, 0.012, 0.111, 0.67, 0.017])
"""Of HAM10000's seven classes."""
ARMS = (
    {},
    {"focal_gamma": 1.0},
    {"focal_gamma": 2.0},
    {"label_smoothing": 0.1},
    {"focal_gamma": 2.0, "label_smoothing": 0.1},
    {"logit_adjustment": 1.0},
    {"prior_weight": 0.5},
    {"sampler_power": 0.5},
)
SEEDS = range(5)
WIDTHS = (128, 1152)
VIEWS = ((False, False), (True, False), (False, True), (True, True))
N_TRIALS = len(ARMS) * len(SEEDS)


def draw(folder: Path, width: int) -> None:
    """Features that lie around a mean of their class, in every view, and labels."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((len(SHARES), width)).astype(np.float32) / np.sqrt(width) * 4
    for split, n in N.items():
        labels = rng.choice(len(SHARES), n, p=SHARES / SHARES.sum())
        labels[: len(SHARES)] = range(len(SHARES))
        np.save(folder / f"{split}-labels.npy", labels)
        for i in range(len(VIEWS) if split == "train" else 2):
            features = means[labels] + rng.standard_normal((n, width))
            np.save(folder / f"{split}-{i}.npy", features.astype(np.float32))


def child(folder: Path, first: int, n: int, fused: bool) -> None:
    """Train trials `first` to `first + n`, in one program or one after the other, and print what it took."""
    import torch

    from dermtune.config import Config, DataConfig, ModelConfig, TrainingConfig
    from dermtune.frozen.backbone import Head
    from dermtune.frozen.features import Features, View
    from dermtune.frozen.loop import train_heads
    from dermtune.plan import Trial

    training = TrainingConfig(epochs=10, batch_size=64, learning_rate=2e-3, warmup_fraction=0.3, vflip=True)
    config = Config(data=DataConfig(), model=ModelConfig(checkpoint="drawn"), training=training)
    trials = [
        Trial(
            arm=str(arm), levers={}, seed=seed, fingerprints={},
            config=config.with_levers({**levers, "tuning": "head"}),
        )
        for seed in SEEDS
        for arm, levers in enumerate(ARMS)
    ][first : first + n]  # fmt: skip
    views = [View(hflip=hflip, vflip=vflip) for hflip, vflip in VIEWS]
    read = {
        split: {
            v: np.load(path, mmap_mode="c")
            for i, v in enumerate(views)
            if (path := folder / f"{split}-{i}.npy").exists()
        }
        for split in N
    }
    features = Features(key="drawn", train=read["train"], val=read["val"], test=read["test"])
    labels = {split: np.load(folder / f"{split}-labels.npy") for split in N}
    width = read["val"][views[0]].shape[1]
    heads = {}
    for seed in SEEDS:
        layer = torch.nn.Linear(width, len(SHARES))
        heads[seed] = Head(weight=layer.weight.detach(), bias=layer.bias.detach())
    begins = time.process_time()
    for together in [trials] if fused else [[trial] for trial in trials]:
        train_heads(together, heads, features, labels, lambda histories: None)
    ends = time.process_time()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print_json(json.dumps({"loop": ends - begins, "memory": memory, "all": time.process_time()}))


def timed(folder: Path, first: int, n: int, *, fused: bool) -> dict[str, float]:
    """CPU seconds and peak memory of a process that trained so many trials."""
    asked = ["--child", str(folder), "--first", str(first), "--n", str(n), *(["--fused"] if fused else [])]
    said = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.frozen_heads", *asked],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ).stdout
    found: dict[str, float] = json.loads(said)
    return found


def measure(folder: Path, width: int, sample: int, rounds: int) -> None:
    """Print a row a way."""
    took: dict[str, list[dict[str, float]]] = {"one program": [], "one after the other": [], "a process each": []}
    draw(folder, width)
    for _ in range(rounds):
        took["one program"].append(timed(folder, 0, N_TRIALS, fused=True))
        few = timed(folder, 0, sample, fused=False)
        outside = few["all"] - few["loop"]
        loop = few["loop"] * N_TRIALS / sample
        took["one after the other"].append({**few, "loop": loop, "all": outside + loop})
        each = [timed(folder, first, 1, fused=False) for first in range(0, N_TRIALS, N_TRIALS // sample)][:sample]
        summed = {name: sum(one[name] for one in each) * N_TRIALS / sample for name in ("loop", "all")}
        took["a process each"].append({**each[0], **summed})
    for way, rows in took.items():
        loop, whole, memory = (statistics.median(row[name] for row in rows) for name in ("loop", "all", "memory"))
        spread = f"{min(row['all'] for row in rows):.1f} to {max(row['all'] for row in rows):.1f}"
        console.print(f"| {width:,} | {way} | {whole:.1f} ({spread}) | {loop:.2f} | {memory:,.0f} MiB |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--n", type=int, default=N_TRIALS)
    parser.add_argument("--fused", action="store_true")
    parser.add_argument("--sample", type=int, default=8, help="trials that are timed of the slow ways")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    asked = parser.parse_args()
    if asked.child is not None:
        child(asked.child, asked.first, asked.n, asked.fused)
        return
    console.print("| width | way | end to end, CPU s (rounds) | loop, CPU s | peak memory |\n|--:|---|--:|--:|--:|")
    for width in asked.widths:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), width, asked.sample, asked.rounds)


if __name__ == "__main__":
    main()
