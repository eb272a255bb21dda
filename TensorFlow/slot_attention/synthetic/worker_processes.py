"""Results of many jobs in their order, worked out in processes of their own."""

from __future__ import annotations

import collections
import concurrent.futures
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Deque, Iterator, Sequence

from common.core.errors import InfrastructureError

_AHEAD = 2  # jobs per worker that may be under way or wait to be written
_LOOK_EVERY = 1.0  # seconds


def ordered_results(
    function: Callable[[Any], Any], jobs: Sequence[Any], workers: int
) -> Iterator[Any]:
    """Yields function(job) for each job, in order; with one worker in this process.

    Raises:
        InfrastructureError: a worker died.
    """
    if workers == 1 or len(jobs) < 2:
        yield from map(function, jobs)
        return
    pool = concurrent.futures.ProcessPoolExecutor(
        min(workers, len(jobs)), multiprocessing.get_context("spawn"), _set_up, (os.getpid(),)
    )
    waiting: Deque[Any] = collections.deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(function, job))
            if len(waiting) >= workers * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise InfrastructureError(
            "a worker process died, perhaps of too little memory; give fewer --workers"
        ) from None
    finally:
        pool.shutdown()  # waits for the few jobs ahead: cancelled ones block Python 3.7 forever


def _set_up(parent: int) -> None:
    """Leaves the interrupt key to the parent, and ends when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_without, args=(parent,), daemon=True).start()


def _end_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    os._exit(1)
