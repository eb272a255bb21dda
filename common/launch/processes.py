"""The ranks as processes, and their watch: the first that fails or hangs stops all."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from common.core.errors import ZooError
from common.core.terminal import Terminal
from common.launch.plan import RankPlan
from common.launch.progress import Progress, QuietTail, Tail, last_lines
from common.runs.events import FILE_NAME as EVENTS

POLL_SECONDS = 0.05
LOOK_SECONDS = 0.5  # between looks at the ranks' events
POLITE_SECONDS = 3.0  # from SIGTERM to SIGKILL, once a rank has failed
LAST_SECONDS = 1.5  # for the kernel to end what was killed
SHOWN_LINES = 20
HANG_EXIT_CODE = 124  # as timeout(1) has it
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl
PASSED_ON = {
    signal.SIGINT: signal.SIGINT,
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,
}  # entry points save at SIGINT and SIGTERM


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How the ranks ended: exit code 0, or what went wrong; signal_number when it was asked for."""

    exit_code: int = 0
    reason: str = ""
    signal_number: int = 0


class RankProcess:
    """A started rank, apart from the terminal, that never outlives the launcher.

    Its output goes straight to its log, so no pipe can block or lose it.
    """

    def __init__(self, plan: RankPlan, environment: Mapping[str, str], log: Path) -> None:
        """Starts the rank; ZooError where its program can't be run."""
        self.plan, self.log = plan, log
        self.exit_code: Optional[int] = None
        self.progress, self.reported = Progress(), time.monotonic()
        self._events = Tail(Path(plan.cwd) / EVENTS)
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
        self.pid = self._process.pid  # its group's number too

    @property
    def alive(self) -> bool:
        """Whether the rank had not ended at the last poll."""
        return self.exit_code is None

    def poll(self) -> None:
        """Sets the exit code once the rank has ended: its own, or 128 + the signal's number."""
        # WNOWAIT leaves the ended process in place, so that nobody else can have its number yet.
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        if self.alive and os.waitid(os.P_PID, self.pid, flags) is not None:
            self.kill()  # what it left behind
            code = self._process.wait()
            self.exit_code = 128 - code if code < 0 else code

    def look(self) -> None:
        """Takes new events in."""
        for event in self._events.new_events():
            self.reported = time.monotonic()
            self.progress.update(event)

    def signal(self, number: int) -> None:
        """Sends a signal to the rank itself, so that its workers go on while it saves."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends the rank and everything it started, at once."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def _before_the_program(parent: int, cores: Optional[Tuple[int, ...]]) -> Callable[[], None]:
    """What the child does before it becomes the rank."""
    library: Any = ctypes.CDLL(None) if sys.platform.startswith("linux") else None

    def prepare() -> None:
        if library is not None:
            library.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # the launcher ended before the line above
                os._exit(128 + signal.SIGKILL)
        if cores:
            os.sched_setaffinity(0, cores)

    return prepare


class Signals:
    """Collects the signals sent to the launcher, in place of being ended by them."""

    def __init__(self) -> None:
        self.received: List[int] = []
        self._before: Dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in PASSED_ON:
            before = signal.getsignal(number)
            if number == signal.SIGHUP and before == signal.SIG_IGN:
                continue  # nohup: the run is meant to outlive the terminal
            self._before[number] = signal.signal(number, self._take)
        return self

    def _take(self, number: int, frame: Optional[FrameType]) -> None:
        self.received.append(number)

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


class Supervisor:
    """Runs started ranks to their common end."""

    def __init__(
        self,
        ranks: Sequence[RankProcess],
        terminal: Terminal,
        signals: Signals,
        hang_timeout: float,
        grace: float,
        quiet: bool = False,
    ) -> None:
        """Takes over started ranks.

        Args:
            ranks: this machine's, in order.
            hang_timeout: seconds without an event after which a rank hangs; 0 never.
            grace: seconds that ranks may take to save once they were asked to end.
            quiet: whether TensorFlow's own lines are left to the log.
        """
        self._ranks, self._terminal, self._signals = ranks, terminal, signals
        self._hang_timeout, self._grace = hang_timeout, grace
        self._output = (QuietTail if quiet else Tail)(ranks[0].log)
        self._next_look = 0.0

    def run(self) -> Outcome:
        """Returns when every rank has ended, by itself or by force."""
        while True:
            self._pump()
            if self._signals.received:
                return self._interrupt(signal.Signals(self._signals.received[0]))
            failed = [rank for rank in self._ranks if rank.exit_code]
            if failed:
                first = _first(failed)
                code = first.exit_code or 1
                names = {number + 128: f" ({number.name})" for number in signal.Signals}
                return self._fail(first, f"ended with exit code {code}{names.get(code, '')}")
            for rank in self._ranks:
                if not rank.alive and not rank.progress.ended:
                    rank.look()  # it ended well by its exit code
                    if not rank.progress.ended:  # and left the others alone
                        how = "ended with exit code 0 without telling the end of its run"
                        return self._fail(rank, how)
            live = [rank for rank in self._ranks if rank.alive]
            if not live:
                self._pump()
                self._terminal.status("")
                return Outcome()
            limit = time.monotonic() - self._hang_timeout
            if self._hang_timeout and any(rank.reported <= limit for rank in live):
                # The others wait for the one that is furthest behind.
                behind = min(live, key=lambda rank: (rank.progress.step, rank.reported))
                seconds = int(time.monotonic() - behind.reported)
                how = f"hangs: {seconds} s without an event, at step {behind.progress.step}"
                return self._fail(behind, how, HANG_EXIT_CODE, " (--hang_timeout)")
            time.sleep(POLL_SECONDS)

    def _pump(self) -> None:
        self._terminal.pass_on(self._output.read_new())
        for rank in self._ranks:
            rank.poll()
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_SECONDS
            for rank in self._ranks:
                rank.look()
            self._terminal.status(self._ranks[0].progress.line())

    def _interrupt(self, number: signal.Signals) -> Outcome:
        self._terminal.status("")
        self._terminal.say(
            f"{number.name}: the ranks save and end (at most {self._grace:g} s; once more to "
            "end them at once)"
        )
        self._end(PASSED_ON[number], self._grace, until_signals=2)
        return Outcome(128 + number, "interrupted by " + number.name, number)

    def _fail(
        self, rank: RankProcess, how: str, code: Optional[int] = None, hint: str = ""
    ) -> Outcome:
        self._terminal.status("")
        reason = f"rank {rank.plan.rank} {how}"
        code = code or rank.exit_code or 1
        self._end(signal.SIGTERM, POLITE_SECONDS, len(self._signals.received) + 1, say=False)
        head = f"--- last lines of rank {rank.plan.rank} ({rank.log})"
        self._terminal.complain("\n".join([head, *last_lines(rank.log, SHOWN_LINES), "---"]))
        self._terminal.complain(f"error: {reason}{hint}; its log is {rank.log}")
        return Outcome(code, reason)

    def _end(self, number: int, seconds: float, until_signals: int, say: bool = True) -> None:
        """Asks all ranks to end, and kills what has not after so long or so many signals."""
        for rank in self._ranks:
            rank.signal(number)
        self._wait(seconds, until_signals)
        late = [rank for rank in self._ranks if rank.alive]
        if late and say:
            self._terminal.say("killed: " + ", ".join(f"rank {one.plan.rank}" for one in late))
        for rank in late:
            rank.kill()
        self._wait(LAST_SECONDS, len(self._signals.received) + 1)
        self._terminal.pass_on(self._output.read_new())

    def _wait(self, seconds: float, until_signals: int) -> None:
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and len(self._signals.received) < until_signals:
            self._terminal.pass_on(self._output.read_new())
            for rank in self._ranks:
                rank.poll()
            if not any(rank.alive for rank in self._ranks):
                return
            time.sleep(POLL_SECONDS)


def _first(failed: Sequence[RankProcess]) -> RankProcess:
    """The rank that failed first; the others often fail because of it."""

    def order(rank: RankProcess) -> Any:
        killed = (rank.exit_code or 0) > 128
        return (not killed, rank.log.stat().st_mtime if rank.log.exists() else 0.0)

    return min(failed, key=order)
