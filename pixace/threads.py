"""Work in threads whose results come in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None
) -> Generator[Result, None, None]:
    """The results of `work`, in order; use `contextlib.closing` round it.

    Items are taken in the caller's thread, as few ahead of the results as keep the threads busy (default: as many
    as the machine has cores). Pillow and NumPy let go of the interpreter lock, so threads do share the work.
    """
    count = threads or os.cpu_count() or 1
    pool, pending = ThreadPoolExecutor(count), deque[Future[Result]]()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > 2 * count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
