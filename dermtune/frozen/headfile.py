"""A head on disk: two tensors in safetensors, there whole or not at all."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save_file

from dermtune.durable import sync_file
from dermtune.frozen.backbone import Head


def read_head(path: Path, n_classes: int) -> Head | None:
    """The head in a file; None where there is none of so many classes."""
    try:
        tensors = load(path.read_bytes())  # read, not mapped: what becomes of the file later is nothing to the head
    except (OSError, SafetensorError):
        return None
    if set(tensors) != {"weight", "bias"} or len(tensors["bias"]) != n_classes:
        return None
    return Head(weight=tensors["weight"], bias=tensors["bias"])


def write_head(path: Path, head: Head) -> None:
    """Write the head under another name and rename it; the caller holds the lock, so a leftover is nobody's."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        save_file({"weight": head.weight, "bias": head.bias}, partial)
        sync_file(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
