"""Work on all cores, results in order, memory bounded."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from pipeline.runtime.errors import UserError
from pipeline.support.cores import cores

Result = TypeVar("Result")

# More processes than this wait for the one that reads.
_MOST = 8


def in_order(
    function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], inline: int, processes: int | None = None
) -> Iterator[Result]:
    """`function(*task)` of every task, in the order of `tasks`.

    Args:
        function: of a module that is cheap to import; called in other processes.
        tasks: consumed as results are asked for, at most four a process ahead.
        inline: the first so many are done in this process: a small corpus is done before a process has started.
        processes: how many; default: one a core that this process may use.

    Raises:
        UserError: the system killed a process.
    """
    processes = min(processes or cores(), _MOST)
    tasks = iter(tasks)
    for _, task in zip(range(inline), tasks, strict=False):
        yield function(*task)
    if processes == 1:
        yield from (function(*task) for task in tasks)
        return
    waiting: deque[Future[Result]] = deque()
    pool: ProcessPoolExecutor | None = None
    try:
        for task in tasks:
            if pool is None:
                # "fork" would copy this process with Arrow's threads in it, which may deadlock.
                pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _live_with_the_parent)
            waiting.append(pool.submit(function, *task))
            if len(waiting) >= 4 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, most likely for want of memory. Close other programs and run the same command again."
        ) from error
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def _live_with_the_parent() -> None:
    """Makes a worker leave interrupts to its parent, and end with it, even if the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
