"""An error that came of too little memory is known as one, whoever raised it."""

import errno

import numpy as np
import pytest

from dermtune.memory import lacks_memory


class OutOfMemoryError(RuntimeError):
    """As torch's is called."""


def refused_by_numpy():
    with pytest.raises(MemoryError) as caught:
        np.ones(2**55, dtype=np.uint8)
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        refused_by_numpy(),
        OutOfMemoryError("HIP"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=repr,
)
def test_a_lack_of_memory_is_known_also_beneath_another_error(error):
    beneath = ValueError("the batch could not be made")
    beneath.__cause__ = error
    assert lacks_memory(error)
    assert lacks_memory(beneath)


@pytest.mark.parametrize("error", [ValueError("out of memory"), RuntimeError("no kernel"), OSError(errno.EIO, "")])
def test_other_errors_are_not_taken_for_it(error):
    assert not lacks_memory(error)
