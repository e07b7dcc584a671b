"""Whether an error came of too little memory, the machine's or a GPU's that others share."""

import errno

from dermtune.causes import causes

WHAT_TO_DO = "a smaller batch_size, with accumulation, or fewer trials at once (--gpus-per-trial, --cpus-per-trial)"

_NAMES = ("MemoryError", "OutOfMemoryError")
"""Python's and numpy's, torch's and Ray's: the driver knows them without importing torch."""
_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "cudnn_status_internal_error_host_allocation_failed",
    "cudnn_status_internal_error_device_allocation_failed",
)
"""What libraries say that have no class for it."""


def lacks_memory(error: BaseException) -> bool:
    """Whether the error, or one that it came of, says that there was no memory."""
    return any(_is_lack(e) for e in causes(error))


def _is_lack(error: BaseException) -> bool:
    named = any(kind.__name__ in _NAMES for kind in type(error).__mro__)
    said = isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)
    return named or said or getattr(error, "errno", None) == errno.ENOMEM
