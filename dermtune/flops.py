"""Floating point operations that a model needs of an image, and what a device could make of a second at most."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """Model FLOPs an image: what the mathematics asks for, a multiplication and an addition counted as two.

    Matrix products and convolutions alone, as is usual (Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
    What is computed twice, by gradient checkpointing or a fused attention kernel, counts once.
    """

    forward: int
    training: int
    """The forward pass and the gradients of what is trained, of nothing else: no gradient goes to the pixels, and
    none behind the first trained weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a training image costs, and what the devices that train could do."""

    flops: int
    """Model FLOPs a training image."""
    peak: float | None
    """FLOP/s of all devices together; None where nobody knows."""

    def rates(self, images_per_second: float) -> dict[str, float]:
        """What a history says of it: TFLOP/s and, where the peak is known, which share of it that is."""
        rate = images_per_second * self.flops
        rates = {"model_tflop_per_second": rate / 1e12}
        return rates if self.peak is None else {**rates, "model_flops_utilisation": rate / self.peak}


PEAKS: tuple[tuple[str, float, float], ...] = (
    # Words of the device's name, TFLOP/s in bfloat16 (dense, float32 accumulation), and in float32 without TF32,
    # which `reproducible` turns off. NVIDIA's data sheets; where they give the rate with sparsity alone, half.
    ("B200", 2250.0, 75.0),  # HGX B200 data sheet, an eighth of the board
    ("H200 NVL", 835.5, 60.0),  # H200 data sheet
    ("H200", 989.5, 67.0),
    ("H100 NVL", 835.5, 60.0),  # H100 data sheet
    ("H100 PCIe", 756.0, 51.0),
    ("H100", 989.5, 67.0),  # SXM
    ("A100", 312.0, 19.5),  # A100 data sheet, SXM and PCIe alike
    ("L40S", 362.0, 91.6),  # L40S data sheet
    ("L4", 121.0, 30.3),  # L4 data sheet
    ("A10", 125.0, 31.2),  # A10 data sheet
    ("RTX 4090", 165.2, 82.6),  # Ada GPU architecture white paper, appendix A
    ("RTX 3090", 71.0, 35.6),  # GA102 GPU architecture white paper, appendix A
)


OTHERS = frozenset({"MIG", "Laptop", "Mobile", "Ti", "D", "SUPER", "Max"})
"""Words that make of a name another device, slower or faster: a slice, a smaller chip, a lower limit of power."""


def peak_flops(device: str, *, bfloat16: bool) -> float | None:
    """FLOP/s that the device of this name (`torch.cuda.get_device_name`) can do at most; None where unknown.

    A slice of a device (MIG) is unknown, a device of a similar name, and every CPU.
    """
    words = set(re.split(r"[\s_-]+", device))
    if OTHERS.intersection(words):
        return None
    for name, in_bfloat16, in_float32 in PEAKS:
        if set(name.split()) <= words:
            return 1e12 * (in_bfloat16 if bfloat16 else in_float32)
    return None


def count_flops(model: nn.Module, image_size: int) -> Flops:
    """The FLOPs an image of a model on torch's meta device, where no number is computed; its gradients are left.

    What has a gradient to compute is what `requires_grad` says, so freezing and adapters count as they train.
    """
    with _plainly_computed(), FlopCounterMode(display=False) as counter:
        model.train()
        pixels = torch.empty(_IMAGES, 3, image_size, image_size, device="meta")
        logits = model(pixel_values=pixels).logits
        forward = counter.get_total_flops()
        if logits.requires_grad:
            logits.sum().backward()
        training = counter.get_total_flops()
    return Flops(forward=forward // _IMAGES, training=training // _IMAGES)


_IMAGES = 2
"""Batch statistics of a single value are refused."""


@contextmanager
def _plainly_computed() -> Iterator[None]:
    """As the formulas stand: a fused kernel recomputes in its backward pass, or is not counted at all."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
