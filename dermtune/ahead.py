"""Batches fetched while the step before them computes, in their order, by one thread beside the training's."""

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, cast

import torch
from torch import Tensor

Batch = dict[str, Tensor]


class Ahead(Iterator[Batch]):
    """The batches of an iterator, one by one, while a thread fetches the next ones.

    Gathering from a memory map and copying into pinned memory release Python's lock, so they overlap with a step.
    On a GPU the copies go by a stream of their own, and what is handed out waits for its copy there, not here. The
    first batch is fetched by who asks for it: a loader draws from torch's generator as it begins, and the training
    would draw from it too. What a fetch raises is raised in its turn.
    """

    def __init__(self, batches: Iterator[Batch], depth: int, device: torch.device) -> None:
        """`depth` batches are kept ready."""
        self._batches = batches
        self._depth = depth
        self._device = device
        self._stream = cast(Any, torch.cuda).Stream(device) if device.type == "cuda" else None
        self._thread = ThreadPoolExecutor(1, "batches")
        self._fetched: deque[Future[Batch | None]] = deque()
        self._begun = False
        self.waited = 0.0
        """Seconds for which those who asked for a batch had to wait, so far."""

    def reads(self, batches: Iterator[Batch]) -> bool:
        """Whether these are the batches."""
        return self._batches is batches

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        asked = time.perf_counter()
        batch = self._fetched.popleft().result() if self._begun else self._fetch()
        self.waited += time.perf_counter() - asked
        self._begun = True
        if batch is None:
            self.close()
            raise StopIteration
        while len(self._fetched) < self._depth:
            self._fetched.append(self._thread.submit(self._fetch))
        return self._handed_out(batch)

    def close(self) -> None:
        """Fetch no more; returns once a fetch under way has ended."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _fetch(self) -> Batch | None:
        with self._on_stream():
            return next(self._batches, None)

    def _on_stream(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _handed_out(self, batch: Batch) -> Batch:
        """The batch, for use on the current stream."""
        if self._stream is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_stream(self._stream)
            for tensor in batch.values():
                tensor.record_stream(current)
        return batch
