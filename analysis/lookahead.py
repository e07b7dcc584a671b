"""Files read while those before them are used."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_AHEAD = 2
"""Results that are in the making or wait to be used: memory holds no more, however many there are."""

T = TypeVar("T")
U = TypeVar("U")


def ahead(work: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """`work` of each item, in their order, made by threads while the caller uses the results before.

    An error is raised when its item's turn comes. Where the caller stops half-way nobody waits for what is in the
    making: the generator may then be closed by one of its own threads, which cannot wait for itself.
    """
    pool, made = ThreadPoolExecutor(_AHEAD), deque[Future[U]]()
    try:
        for item in items:
            made.append(pool.submit(work, item))
            if len(made) > _AHEAD:
                yield made.popleft().result()
        while made:
            yield made.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
