"""What trains on this machine, with which numbers, and how it comes to train the same way twice."""

import contextlib
import os
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import torch
import transformers

from dermtune.config import TrainingConfig

Result = TypeVar("Result")


def device_name() -> str:
    """The device as a manifest names it."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def in_bfloat16(training: TrainingConfig) -> bool:
    """Whether forward passes run under bfloat16 autocast here."""
    if training.precision == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return training.precision == "bfloat16"


def keep_to_share(gpus: float) -> None:
    """Let this process take no more of its GPU's memory than the share that its trial has of the GPU.

    Ray deals out shares and builds no walls: without this, the one that takes too much would fail its neighbours.
    What CUDA itself takes beside torch's tensors, some hundred megabytes a process, is not in it.
    """
    if 0 < gpus < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(gpus)


@contextlib.contextmanager
def reproducible(seed: int, threads: int, *, strict: bool = False) -> Iterator[None]:
    """Seeds, deterministic kernels, a fixed number of threads and a quiet Trainer, also in a reused process.

    `strict` raises a RuntimeError where an operation has no deterministic kernel; else it runs as it does. On a GPU
    the backward pass of fused attention is deterministic for the strict alone.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=not strict)
    transformers.set_seed(seed)
    if torch.cuda.is_available():
        _reproducible_on_gpu()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def strictly_or_else(run: Callable[[bool], Result], on_notice: Callable[[str], None]) -> Result:
    """What `run(True)` gives, strictly `reproducible`, or what `run(False)` does where that is refused.

    `on_notice` is told, in a clause that follows a trial's name, which operation has no deterministic kernel.
    """
    try:
        return run(True)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        if _STRICT not in said:
            raise
    lacking = textwrap.shorten(said.partition(", but")[0], 160, placeholder=" ...")
    on_notice(f"would not give the same bits again: {lacking}")
    return run(False)


def refuse_if_strict(what: str) -> None:
    """Raises what PyTorch does of an operation without a deterministic kernel, where it is merely left out."""
    strict = not torch.is_deterministic_algorithms_warn_only_enabled()
    if strict and torch.are_deterministic_algorithms_enabled():
        raise RuntimeError(f"{what} does not have a deterministic implementation, but you set 'torch.{_STRICT}'")


_STRICT = "use_deterministic_algorithms(True)"
"""In what PyTorch says of each operation that it refuses the strict."""


def _reproducible_on_gpu() -> None:
    """What deterministic kernels ask for beside being asked for, and without a price that buys nothing.

    https://docs.pytorch.org/docs/stable/notes/randomness.html: cuBLAS needs a workspace of a fixed size, and every
    new tensor would be filled with NaN to show reads of what was never written. transformers reads the last of the
    variables. And PyTorch leaves TF32 on in float32 convolutions, of all products.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("FLASH_ATTENTION_DETERMINISTIC", "1")
    torch.backends.cudnn.allow_tf32 = False
    cast(Any, torch.utils.deterministic).fill_uninitialized_memory = False
