"""What trains on this machine, with which numbers, and how it comes to train the same way twice."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, cast

import torch
import transformers

from dermtune.config import TrainingConfig


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
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Seeds, deterministic kernels, a fixed number of threads and a quiet Trainer, also in a reused process."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    transformers.set_seed(seed)
    if torch.cuda.is_available():
        _reproducible_on_gpu()
    try:
        yield
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _reproducible_on_gpu() -> None:
    """What deterministic kernels ask for beside being asked for, and without a price that buys nothing.

    https://docs.pytorch.org/docs/stable/notes/randomness.html: cuBLAS needs a workspace of a fixed size, and every
    new tensor would be filled with NaN to show reads of what was never written. transformers reads the last.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("FLASH_ATTENTION_DETERMINISTIC", "1")
    cast(Any, torch.utils.deterministic).fill_uninitialized_memory = False
