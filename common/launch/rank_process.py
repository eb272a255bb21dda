"""One rank as a process: started apart from the terminal, never outliving the launcher."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from common.core.errors import ZooError
from common.launch.plan import RankPlan

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


class RankProcess:
    """A started rank. Its output goes straight to its log, so no pipe can block or lose it."""

    def __init__(self, plan: RankPlan, environment: Mapping[str, str], log: Path) -> None:
        """Starts the rank; ZooError where its program can't be run."""
        self.plan = plan
        self.log = log
        self.exit_code: Optional[int] = None
        with open(str(log), "ab") as stream:
            try:
                self._process = subprocess.Popen(
                    list(plan.argv),
                    cwd=plan.cwd,
                    env=dict(environment),
                    stdout=stream,
                    stdin=subprocess.DEVNULL,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_before_the_program(os.getpid(), plan.cores),
                )
            except OSError as error:
                raise ZooError(
                    f"can't start rank {plan.rank} ({plan.argv[0]}): {error.strerror}"
                ) from error

    @property
    def pid(self) -> int:
        """The process id, which is its group's too."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the rank had not ended at the last poll."""
        return self.exit_code is None

    def poll(self) -> Optional[int]:
        """The exit code once the rank has ended: its own, or 128 + the signal's number."""
        if self.exit_code is None and self._has_ended():
            self._signal_group(signal.SIGKILL)  # what it left behind; its number is still its own
            code = self._process.wait()
            self.exit_code = 128 - code if code < 0 else code
        return self.exit_code

    def _has_ended(self) -> bool:
        # WNOWAIT leaves the ended process in place, so that nobody else can have its number yet.
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, flags) is not None

    def signal(self, number: int) -> None:
        """Sends a signal to the rank itself, so that its workers go on while it saves."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends the rank and everything it started, at once."""
        if self.alive:
            self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _before_the_program(parent: int, cores: Optional[Tuple[int, ...]]) -> Callable[[], None]:
    """What the child does before it becomes the rank."""
    library = _c_library()

    def prepare() -> None:
        if library is not None:
            library.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # the launcher ended before the line above
                os._exit(128 + signal.SIGKILL)
        if cores:
            os.sched_setaffinity(0, cores)

    return prepare


def _c_library() -> Any:
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None


def environment_of(
    plan: RankPlan, user: Mapping[str, str], cann: Mapping[str, str]
) -> Dict[str, str]:
    """The rank's whole environment: the user's, CANN's, then the rank's changes."""
    environment = dict(user, **cann)
    environment.update(plan.environment.set)
    for name in plan.environment.removed:
        environment.pop(name, None)
    return environment
