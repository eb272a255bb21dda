"""The worker's side of processes.Worker: says when it is ready, then answers line by line."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Callable, Dict

from common.core.errors import ZooError

Answer = Callable[[int], Dict[str, Any]]


def answer_until_the_end(prepare: Callable[[], Answer]) -> int:
    """Prepare, say so, then answer each number of steps on standard input; returns the exit code.

    What can't be prepared is said in one line of JSON, and the exit code is 1.
    """
    began = time.perf_counter()
    try:
        answer = prepare()
        said = {"ready": time.perf_counter() - began}
    except (ZooError, RuntimeError) as error:
        _say({"error": str(error).split("\n")[0]})
        return 1
    _say(said)
    for line in sys.stdin:
        _say(answer(int(line)))
    return 0


def _say(answer: Dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)
