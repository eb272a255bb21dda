"""Runs a test's body in processes of their own, in which a double of torch_npu may change torch.

They are forks of this process, which has torch imported. Where an earlier test has computed
gradients here a fork can't any more: then the whole test runs in a fork of a process that has not.
Nothing may follow a body in its test, therefore.
"""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

DOUBLES = Path(__file__).resolve().parents[1]
OLD_PACKAGE, NEW_OPTIMIZERS = "1.8.1.post2-3.0.rc3", "1.8.1.post2-5.0.rc2"
PACKAGE_OF_2 = "2.1.0.post3"
NO_GRADIENTS_HERE = "torch computes no gradients in a fork of this process"
LIMIT_SECONDS, GRACE_SECONDS = 60.0, 3.0
_FOREIGN = (
    "ASCEND_RT_VISIBLE_DEVICES",
    "ASCEND_DEVICE_ID",
    "ASCEND_DOUBLE_REPORT",
    "ASCEND_DOUBLE_TORCH_NPU",
    "ASCEND_DOUBLE_APEX",
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
)


def generation() -> int:
    """1 where the installed torch is 1.8.1, else 2."""
    import torch

    return 1 if str(torch.__version__).startswith("1.") else 2


def on_npu(
    soc: str = "Ascend910A",
    package: Optional[str] = None,
    ranks: int = 1,
    **variables: Optional[str],
) -> Callable[..., Any]:
    """Makes the decorated test's body run in a fork that has the doubles installed.

    Args:
        package: the version of torch_npu; by default one with torch_npu.optim.
        ranks: how many processes run the body at once, with RANK, WORLD_SIZE and a port.
        variables: further environment variables; None takes one away.
    """

    def decorate(body: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(body)
        def test(*arguments: Any, **named: Any) -> None:
            chosen = package or (NEW_OPTIMIZERS if generation() == 1 else PACKAGE_OF_2)
            values = {
                "ASCEND_HOME_PATH": "/cann",
                "ASCEND_OPP_PATH": "/cann/opp",
                "ASCEND_DOUBLE_SOC": named.get("soc", soc),
                "ASCEND_DOUBLE_DEVICES": "8",
                "ASCEND_DOUBLE_TORCH_NPU": named.get("package", chosen),
            }
            values.update(variables)  # type: ignore[arg-type]
            _run(lambda: body(*arguments, **named), values, ranks)

        return test

    return decorate


def _run(body: Callable[[], None], variables: Dict[str, Optional[str]], ranks: int) -> None:
    if generation() == 2:
        import torch._dynamo  # noqa: F401 - optimizers import it, once here instead of in each fork
    if ranks > 1:
        variables = dict(
            variables, WORLD_SIZE=str(ranks), MASTER_ADDR="127.0.0.1", MASTER_PORT=_free_port()
        )
    release, hold = os.pipe()
    started = [
        _start(body, dict(variables, **({"RANK": str(rank)} if ranks > 1 else {})), release, hold)
        for rank in range(ranks)
    ]
    failed = [text for text in _told(started) if text]
    os.close(hold)
    os.close(release)
    for process, _ in started:
        os.waitpid(process, 0)
    if NO_GRADIENTS_HERE in failed:
        _in_a_fresh_process(os.environ["PYTEST_CURRENT_TEST"].rpartition(" (")[0])
        return
    assert not failed, "\n".join(failed)


def _free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def _start(
    body: Callable[[], None], variables: Dict[str, Optional[str]], release: int, hold: int
) -> Tuple[int, int]:
    """Forks; returns the process and where it tells what went wrong, "" for nothing."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    text = "the body did not end"
    try:
        os.close(hold)
        if _can_compute_gradients():
            _install(variables)
            body()
            text = ""
        else:
            text = NO_GRADIENTS_HERE
    except BaseException:
        text = traceback.format_exc()
    finally:
        os.write(writer, text.encode("utf-8", "replace")[-60000:])
        os.close(writer)
        os.read(release, 1)  # the ranks end together: the first one serves the others' meeting
        sys.stdout.flush()
        os._exit(0)


def _install(variables: Dict[str, Optional[str]]) -> None:
    import torch

    for name in _FOREIGN:
        os.environ.pop(name, None)
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    sys.path[:0] = [str(DOUBLES / f"torch_npu_{generation()}"), str(DOUBLES / "apex")]
    torch.set_num_threads(1)


def _told(started: List[Tuple[int, int]]) -> List[str]:
    """What every process tells; after a failure the others get a few seconds."""
    texts: Dict[int, bytes] = {reader: b"" for _, reader in started}
    deadline = time.monotonic() + LIMIT_SECONDS
    waiting = {reader: process for process, reader in started}
    while waiting:
        ready = select.select(list(waiting), [], [], max(0.0, deadline - time.monotonic()))[0]
        if not ready:
            for process in waiting.values():
                os.kill(process, signal.SIGKILL)
            deadline = time.monotonic() + LIMIT_SECONDS
            texts = {
                reader: text or b"ended after its time was over" * (reader in waiting)
                for reader, text in texts.items()
            }
        for reader in ready:
            block = os.read(reader, 1 << 16)
            texts[reader] += block
            if not block:
                del waiting[reader]
                os.close(reader)
                if texts[reader]:
                    deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
    return [text.decode("utf-8", "replace") for text in texts.values()]


def _can_compute_gradients() -> bool:
    import torch

    value = torch.ones((), requires_grad=True)
    try:
        value.backward()
    except RuntimeError:
        return False
    return True


_FRESH = (
    "import torch; torch.__version__ < '2' or __import__('torch._dynamo'); "
    "from tests.ascend_doubles.mutations import worker; worker.main('torch')"
)
_fresh: List[subprocess.Popen[str]] = []
_passed_there: List[str] = []


def _in_a_fresh_process(test: str) -> None:
    """Runs a test by pytest's name where no gradient was computed yet."""
    if test in _passed_there:
        return
    root = DOUBLES.parents[1]
    if not _fresh:
        _fresh.append(
            subprocess.Popen(
                [sys.executable, "-c", _FRESH],
                cwd=str(root),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                universal_newlines=True,
                env=dict(os.environ, PYTHONPATH=str(root)),
            )
        )
    question = {"tests": [test], "seconds": LIMIT_SECONDS, "mutated": False}
    _fresh[0].stdin.write(json.dumps(question) + "\n")  # type: ignore[union-attr]
    _fresh[0].stdin.flush()  # type: ignore[union-attr]
    answer = json.loads(_fresh[0].stdout.readline())  # type: ignore[union-attr]
    assert set(answer["outcomes"].values()) == {"passed"}, answer["output"]
    _passed_there.append(test)
