"""What a device makes of a matrix product, and of each attention kernel that it has, at the model's sizes."""

import time
from collections.abc import Callable, Iterator

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from dermtune.kernels import SDPA

KERNELS = {**SDPA, "products one by one": SDPBackend.MATH}
"""By the value of `attention` that asks for it."""
SECONDS = 2.0
"""For which each is repeated, at least."""


def synchronised() -> float:
    """The clock, once a GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def repeated(what: Callable[[], object], seconds: float) -> float:
    """Seconds that one call takes, after two that do not count."""
    what()
    what()
    n, began = 0, synchronised()
    while (took := synchronised() - began) < seconds or n < 3:
        for _ in range(max(1, n)):  # doubled, so that waiting for the device is a small part
            what()
        n += max(1, n)
    return took / n


def matrix_rate(device: torch.device, dtype: torch.dtype, seconds: float = SECONDS) -> float:
    """FLOP/s of a square product, large enough that nothing but its arithmetic counts."""
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / repeated(lambda: left @ right, seconds)


def chosen_kernel(shape: tuple[int, int, int, int], device: torch.device, dtype: torch.dtype) -> str:
    """The kernel that PyTorch takes by itself of factors [images, heads, patches, width]."""
    kernel = SDPBackend(torch._fused_sdp_choice(*_factors(shape, device, dtype)))
    return next((name for name, known in KERNELS.items() if known == kernel), kernel.name)


def attention_times(
    shape: tuple[int, int, int, int], device: torch.device, dtype: torch.dtype, seconds: float = SECONDS
) -> Iterator[tuple[str, float | str]]:
    """By kernel the seconds of both passes on [images, heads, patches, width], or why there are none."""
    for name, backend in KERNELS.items():
        factors = _factors(shape, device, dtype)

        def both(factors: list[torch.Tensor] = factors, backend: SDPBackend = backend) -> None:
            with sdpa_kernel(backend):
                attended = functional.scaled_dot_product_attention(*factors)
            joined = attended.transpose(1, 2).contiguous()  # as a block joins its heads
            torch.autograd.grad(joined, factors, joined.detach())

        try:
            yield name, repeated(both, seconds)
        except RuntimeError as error:
            yield name, " ".join(str(error).split())


def _factors(shape: tuple[int, int, int, int], device: torch.device, dtype: torch.dtype) -> list[torch.Tensor]:
    """Queries, keys and values as a block passes them: [images, patches, heads, width] in memory."""
    images, heads, patches, width = shape
    rows = [torch.randn(images, patches, heads, width, device=device, dtype=dtype) for _ in range(3)]
    return [of_rows.transpose(1, 2).requires_grad_() for of_rows in rows]
