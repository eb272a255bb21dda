"""What the sources of scenes share: worker processes, checksums, words for the filter."""

from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Callable, Deque, Iterable, Iterator, List, Optional

from common.core.errors import InfrastructureError

ALL = "all scenes"
_JOBS_AT_ONCE, _AHEAD = 16, 3  # in a task of a worker; tasks per worker under way or done
_BLOCK = 1 << 20


def filter_text(max_objects: Optional[int], counted: str) -> str:
    """Which scenes pass the filter, and what counts as an object, in words."""
    if max_objects is None:
        return ALL
    return f"scenes whose number of objects (background not counted: {counted}) <= {max_objects}"


def quick_manifest_sha256(paths: Iterable[Path]) -> str:
    """A checksum over each file's name, size, first MiB and last MiB, sorted by name.

    It tells versions and variants of a dataset apart; a byte changed in the middle of a file it
    doesn't notice.
    """
    lines = []
    for path in paths:
        digest, size = hashlib.sha256(), os.path.getsize(str(path))
        with open(str(path), "rb") as stream:
            digest.update(stream.read(_BLOCK))
            stream.seek(max(_BLOCK, size - _BLOCK))
            digest.update(stream.read(_BLOCK))
        lines.append(f"{digest.hexdigest()}  {size}  {path.name}\n")
    whole = "".join(sorted(lines)).encode("utf-8", "surrogateescape")
    return hashlib.sha256(whole).hexdigest()


def ordered(function: Callable[[Any], Any], jobs: Iterable[Any], workers: int) -> Iterator[Any]:
    """Yields function(job) of each job in order, worked out by processes; by this one if it is 1.

    Raises:
        InfrastructureError: a process died.
    """
    if workers == 1:
        yield from map(function, jobs)
        return
    spawn, left = multiprocessing.get_context("spawn"), iter(jobs)
    pool = concurrent.futures.ProcessPoolExecutor(workers, spawn, _set_up, (os.getpid(),))
    waiting: Deque[Any] = collections.deque()
    try:
        for some in iter(lambda: list(itertools.islice(left, _JOBS_AT_ONCE)), []):
            waiting.append(pool.submit(_each, function, some))
            if len(waiting) >= workers * _AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool:
        raise InfrastructureError(
            "a worker process died, perhaps of too little memory; give fewer --workers"
        ) from None
    finally:
        pool.shutdown()  # waits for the few jobs ahead: cancelled ones block Python 3.7 forever


def _each(function: Callable[[Any], Any], jobs: Iterable[Any]) -> List[Any]:
    return [function(job) for job in jobs]


def _set_up(parent: int) -> None:
    """Leaves the interrupt key to the parent, and ends when the parent is gone."""

    def end_without() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_without, daemon=True).start()
