"""How many images a forward pass holds here: as the recipe says, as asked, or as many as there is room for."""

import gc
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from dermtune.config import Config, ConfigError, canonical_json
from dermtune.data.place import Place
from dermtune.device import device_name, in_bfloat16, reproducible, strictly_or_else
from dermtune.durable import read_json, write_json
from dermtune.ema import WeightAverage
from dermtune.memory import lacks_memory
from dermtune.mixup import Mixup
from dermtune.pixels import pipeline_for
from dermtune.recipes import MicroBatch
from dermtune.trainee import trainee

FORMAT = 2
"""Part of the key; raised when a pass comes to be tried in another way."""
PACKAGES = ("torch", "transformers")
"""Packages whose versions change what a pass needs."""
HEADROOM = 0.9
"""Share of the memory that a step may take: allocations of other sizes need some more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Where a pass is tried, and what a trial may take there."""

    device: torch.device
    name: str
    """The device's."""
    n_bytes: int

    @classmethod
    def of_gpu(cls, share: float) -> "Memory | None":
        """A trial's part of this machine's GPU, which others may share; None where there is none."""
        if not torch.cuda.is_available():
            return None
        device = torch.device("cuda", torch.cuda.current_device())
        total = torch.cuda.get_device_properties(device).total_memory
        return cls(device=device, name=device_name(), n_bytes=int(total * min(1.0, share or 1.0)))


def micro_batch_for(
    asked: MicroBatch, config: Config, classes: tuple[str, ...], place: Place, memory: Memory | None
) -> int | None:
    """The images of a pass of a trial of this config; None as the recipe says, which is all that a CPU is asked.

    `auto` is found once a machine and kept beside the decoded images, so that all arms and seeds that take as much
    get the same. Raises ConfigError where not even one image fits, ModelError, UserError.
    """
    if asked != "auto" or memory is None:
        return None if asked == "auto" else asked
    file = place.cache_dir / f"micro-batch-{_key(config, memory)}.json"
    if (kept := _read(file)) is None:
        with place.alone("micro-batch"):
            if (kept := _read(file)) is None:
                kept = largest(candidates(config), lambda n: try_step(config, classes, n, memory))
                with place.writing():
                    write_json(file, {"format": FORMAT, "micro_batch": kept})
    return kept


def candidates(config: Config) -> list[int]:
    """What a pass may hold, the largest first: whole passes of the recipe where mixup pairs the images of one."""
    training = config.training
    step = training.batch_size * training.accumulation
    unit = training.batch_size if config.levers.mixup else 1
    return [n for n in range(step, 0, -1) if step % n == 0 and n % unit == 0]


def largest(sizes: Iterable[int], attempt: Callable[[int], None]) -> int:
    """The first of the sizes, in falling order, whose attempt does not run out of memory. Raises ConfigError."""
    tried = 0
    for size in sizes:
        tried = size
        try:
            attempt(size)
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
        else:
            return size
    raise ConfigError(
        f"a forward pass of {tried} must fit into the device's memory, with an evaluation of `eval_batch_size` "
        f"after it, they do not: a smaller model, smaller images or `gradient_checkpointing` would need less"
    )


def try_step(config: Config, classes: tuple[str, ...], n: int, memory: Memory) -> None:
    """Make two optimiser steps of passes of `n` black images, as training makes them, evaluate, and forget them.

    Raises torch.OutOfMemoryError where they take more than a trial may.
    """
    _forget(memory)

    def run(strict: bool) -> None:
        # As a trial trains, by the same kernels; and nothing that is drawn after it may know of it.
        with torch.random.fork_rng(devices=[]), reproducible(0, torch.get_num_threads(), strict=strict):
            _steps(config, classes, n, memory.device)

    try:
        strictly_or_else(run, lambda _: None)
        if _taken(memory) > HEADROOM * memory.n_bytes:
            raise torch.OutOfMemoryError(f"a pass of {n} images leaves too little; as good as out of memory.")
    finally:
        _forget(memory)


def _steps(config: Config, classes: tuple[str, ...], n: int, device: torch.device) -> None:
    training = config.training
    model = cast(Any, trainee(config, classes)).to(device).train()
    if training.gradient_checkpointing:
        model.activation_checkpointing_enable()
    average = WeightAverage(model, config.levers.ema) if config.levers.ema else None
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, fused=device.type == "cuda")
    side, step = config.data.image_size, training.batch_size * training.accumulation
    waiting = torch.zeros(2 * step, side, side, 3, dtype=torch.uint8, device=device)  # of this step and the next
    for _ in range(2):  # the optimiser's own memory is there from the second on
        for _ in range(min(2, step // n)):  # the first pass's gradients lie beside the second pass
            with torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16(training)):
                logits = model(pixel_values=_pixels(waiting[:n], config)).logits
            logits.float().sum().backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()
    if average is not None:
        average.update(model)
    shown = torch.zeros(training.eval_batch_size, side, side, 3, dtype=torch.uint8, device=device)
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16(training)):
        model.eval()(pixel_values=pipeline_for(config.model, training, seed=0).normalise(shown))


def _pixels(images: Tensor, config: Config) -> Tensor:
    """What the model reads of uint8 images in training: mirrored, and blended where that is asked for."""
    pipeline = pipeline_for(config.model, config.training, seed=0)
    every = torch.ones(len(images), dtype=torch.bool)
    pixels = pipeline.mirror(pipeline.normalise(images), (every, every))
    if not config.levers.mixup:
        return pixels
    return Mixup(alpha=config.levers.mixup, seed=0).pairing(len(images), step=0).images(pixels)


def _key(config: Config, memory: Memory) -> str:
    """Hash of all that changes what a step takes, and of what it may take."""
    training, levers = config.training, config.levers
    shaping = ("batch_size", "accumulation", "eval_batch_size", "channels_last", "gradient_checkpointing")
    computing = ("attention", "compile")
    trained = ("tuning", "tuned_blocks", "lora_rank")
    what = {
        "format": FORMAT,
        "device": [memory.name, memory.n_bytes],
        "model": asdict(config.model),
        "image_size": config.data.image_size,
        "bfloat16": in_bfloat16(training),
        **{name: getattr(training, name) for name in (*shaping, *computing)},
        **{name: getattr(levers, name) for name in trained},
        **{name: bool(getattr(levers, name)) for name in ("ema", "mixup")},
        "versions": {package: version(package) for package in PACKAGES},
    }
    return hashlib.sha256(canonical_json(what).encode()).hexdigest()[:16]


def _read(file: Path) -> int | None:
    """What is kept; None where there is nothing, or something else: it is found anew."""
    try:
        kept = read_json(file)["micro_batch"]
    except (OSError, ValueError, TypeError, LookupError):
        return None
    return kept if isinstance(kept, int) and kept >= 1 else None


def _taken(memory: Memory) -> int:
    return torch.cuda.max_memory_reserved(memory.device) if memory.device.type == "cuda" else 0


def _forget(memory: Memory) -> None:
    gc.collect()
    if memory.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(memory.device)
