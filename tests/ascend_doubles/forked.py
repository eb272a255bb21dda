"""Runs a test's body in processes of their own, in which the double of torch_npu changes torch.

They are forks of a server process that has imported torch and computed nothing: torch computes no
gradients in a fork of a process that has.
"""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import os
import sys
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from common.machine.ports import reserve_port

DOUBLES = Path(__file__).resolve().parent
OLD_PACKAGE, NEW_OPTIMIZERS = "1.8.1.post2-3.0.rc3", "1.8.1.post2-5.0.rc2"
LIMIT_SECONDS = 60.0
_PREFIXES = ("ASCEND_", "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_")
_SERVER = multiprocessing.get_context("forkserver")


def is_torch_1_8() -> bool:
    """Whether the installed torch is the doubles'."""
    import torch

    return str(torch.__version__).startswith("1.8.1")


def on_npu(
    package: str = NEW_OPTIMIZERS, ranks: int = 1, **variables: Optional[str]
) -> Callable[..., Any]:
    """Makes the decorated test's body run in a fork that has the doubles on its path.

    Args:
        package: the version of torch_npu, unless the test has a parameter of that name.
        ranks: how many processes run the body at once, with RANK, WORLD_SIZE and a port.
        variables: further environment variables; None takes one away.
    """

    def decorate(body: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(body)
        def test(**named: Any) -> None:
            values: Dict[str, Optional[str]] = {
                "ASCEND_HOME_PATH": "/cann",
                "ASCEND_OPP_PATH": "/cann/opp",
                "ASCEND_DOUBLE_TORCH_NPU": named.get("package", package),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(reserve_port().port),
                "WORLD_SIZE": str(ranks),
                **variables,
            }
            _run(body.__module__, body.__name__, named, values, ranks)

        test.body = body  # type: ignore[attr-defined]
        return test

    return decorate


def _run(module: str, name: str, named: Any, variables: Any, ranks: int) -> None:
    _SERVER.set_forkserver_preload(["torch", "pytest"])
    started = []
    for rank in range(ranks):
        here, there = _SERVER.Pipe()
        process = _SERVER.Process(
            target=_run_body, args=(there, module, name, named, dict(variables, RANK=str(rank)))
        )
        process.start()
        there.close()
        started.append((process, here))
    told = [_told(connection) for _, connection in started]
    for process, connection in started:
        connection.close()  # they end together: the first one serves the others' meeting
        process.join(5)
        process.kill()
    assert not any(told), "\n".join(filter(None, told))


def _told(connection: Any) -> str:
    try:
        return str(connection.recv()) if connection.poll(LIMIT_SECONDS) else "did not end in time"
    except EOFError:
        return "ended without a word"


def _run_body(connection: Any, module: str, name: str, named: Any, variables: Any) -> None:
    """The forked process."""
    for variable in list(os.environ):
        if variable.startswith(_PREFIXES):
            del os.environ[variable]
    os.environ.update({key: value for key, value in variables.items() if value is not None})
    sys.path[:0] = [str(DOUBLES / "torch"), str(DOUBLES / "apex")]
    sys.path += [str(DOUBLES.parents[1]), str(DOUBLES.parents[1] / "PyTorch")]
    text = ""
    try:
        importlib.import_module("torch").set_num_threads(1)
        getattr(importlib.import_module(module), name).body(**named)
    except BaseException:
        text = traceback.format_exc()
    connection.send(text)
    connection.poll(LIMIT_SECONDS)
    os._exit(0)
