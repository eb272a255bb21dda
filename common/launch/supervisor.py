"""Watches the ranks of a launch: the first that fails or hangs stops all, signals pass through."""

from __future__ import annotations

import dataclasses
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any, Dict, List, Optional, Sequence

from common.core.terminal import Terminal
from common.launch.progress import EventTail, LineTail, Progress, last_lines
from common.launch.rank_process import RankProcess
from common.runs.events import FILE_NAME as EVENTS

POLL_SECONDS = 0.05
LOOK_SECONDS = 0.5  # between looks at the ranks' events
POLITE_SECONDS = 3.0  # from SIGTERM to SIGKILL, once a rank has failed
LAST_SECONDS = 1.5  # for the kernel to end what was killed
SHOWN_LINES = 20
HANG_EXIT_CODE = 124  # as timeout(1) has it
PASSED_ON = {
    signal.SIGINT: signal.SIGINT,
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,
}  # entry points save at SIGINT and SIGTERM


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How the ranks ended: exit code 0, or what went wrong; signal_number when it was asked for."""

    exit_code: int
    reason: str
    signal_number: int


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


class _Watch:
    """One rank with its events: how far it is, and when it last reported."""

    def __init__(self, process: RankProcess) -> None:
        self.process = process
        self.progress = Progress()
        self.reported = time.monotonic()
        self._tail = EventTail(Path(process.plan.cwd) / EVENTS, from_end=True)

    def look(self) -> None:
        """Takes new events in."""
        events = self._tail.read_new()
        if events:
            self.reported = time.monotonic()
        for event in events:
            self.progress.update(event)


class Supervisor:
    """Runs started ranks to their common end."""

    def __init__(
        self,
        ranks: Sequence[RankProcess],
        terminal: Terminal,
        signals: Signals,
        hang_timeout: float,
        grace: float,
    ) -> None:
        """Takes over started ranks.

        Args:
            ranks: this machine's, in order.
            hang_timeout: seconds without an event after which a rank hangs; 0 never.
            grace: seconds that ranks may take to save once they were asked to end.
        """
        self._ranks, self._terminal, self._signals = ranks, terminal, signals
        self._hang_timeout, self._grace = hang_timeout, grace
        self._watches = [_Watch(rank) for rank in ranks]
        self._output = LineTail(ranks[0].log)
        self._next_look = 0.0

    def run(self) -> Outcome:
        """Returns when every rank has ended, by itself or by force."""
        while True:
            self._pump()
            for rank in self._ranks:
                rank.poll()
            if self._signals.received:
                return self._interrupt()
            failed = [rank for rank in self._ranks if rank.exit_code]
            if failed:
                return self._fail(_first(failed))
            silent = self._silent()
            if silent is not None:
                return self._fail(silent, "without telling the end of its run")
            if not any(rank.alive for rank in self._ranks):
                self._pump()
                self._terminal.status("")
                return Outcome(0, "", 0)
            hanging = self._hanging()
            if hanging is not None:
                return self._give_up(hanging)
            time.sleep(POLL_SECONDS)

    def _pump(self) -> None:
        self._terminal.pass_on(self._output.read_new())
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_SECONDS
            for watch in self._watches:
                watch.look()
            self._terminal.status(self._watches[0].progress.line())

    def _silent(self) -> Optional[RankProcess]:
        """A rank that ended well by its exit code and yet told no end: it left the others alone."""
        for watch in self._watches:
            if watch.process.exit_code == 0 and not watch.progress.ended:
                watch.look()
                if not watch.progress.ended:
                    return watch.process
        return None

    def _hanging(self) -> Optional[_Watch]:
        """The rank to blame, once a live rank has been silent for too long."""
        live = [watch for watch in self._watches if watch.process.alive]
        limit = time.monotonic() - self._hang_timeout
        if not self._hang_timeout or all(watch.reported > limit for watch in live):
            return None
        # The others wait for the one that is furthest behind.
        return min(live, key=lambda watch: (watch.progress.step, watch.reported))

    def _interrupt(self) -> Outcome:
        number = self._signals.received[0]
        name = signal.Signals(number).name
        self._terminal.status("")
        self._terminal.say(
            f"{name}: the ranks save and end (at most {self._grace:g} s; once more to "
            "end them at once)"
        )
        self._send(PASSED_ON[signal.Signals(number)])
        self._wait(self._grace, until_signals=2)
        late = [rank.plan.rank for rank in self._ranks if rank.alive]
        if late:
            self._terminal.say("killed: " + ", ".join(f"rank {rank}" for rank in late))
        self._kill()
        return Outcome(128 + number, "interrupted by " + name, number)

    def _fail(self, rank: RankProcess, how: str = "") -> Outcome:
        code = rank.exit_code or 1
        reason = " ".join([f"rank {rank.plan.rank} ended with {_told(rank.exit_code or 0)}", how])
        reason = reason.strip()
        self._stop_all()
        self._show(rank, reason)
        return Outcome(code, reason, 0)

    def _give_up(self, watch: _Watch) -> Outcome:
        rank = watch.process
        reason = (
            f"rank {rank.plan.rank} hangs: {int(time.monotonic() - watch.reported)} s "
            f"without an event, at step {watch.progress.step}"
        )
        self._stop_all()
        self._show(rank, reason + " (--hang_timeout)")
        return Outcome(HANG_EXIT_CODE, reason, 0)

    def _show(self, rank: RankProcess, reason: str) -> None:
        lines = last_lines(rank.log, SHOWN_LINES)
        self._terminal.complain(
            "\n".join([f"--- last lines of rank {rank.plan.rank} ({rank.log})"] + lines + ["---"])
        )
        self._terminal.complain(f"error: {reason}; its log is {rank.log}")

    def _stop_all(self) -> None:
        self._terminal.status("")
        self._send(signal.SIGTERM)
        self._wait(POLITE_SECONDS, until_signals=len(self._signals.received) + 1)
        self._kill()

    def _send(self, number: int) -> None:
        for rank in self._ranks:
            rank.signal(number)

    def _wait(self, seconds: float, until_signals: int) -> None:
        """Waits for all ranks to end, so many seconds, or until that many signals came."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and len(self._signals.received) < until_signals:
            self._terminal.pass_on(self._output.read_new())
            for rank in self._ranks:
                rank.poll()
            if not any(rank.alive for rank in self._ranks):
                return
            time.sleep(POLL_SECONDS)

    def _kill(self) -> None:
        for rank in self._ranks:
            rank.kill()
        self._wait(LAST_SECONDS, until_signals=len(self._signals.received) + 1)
        self._terminal.pass_on(self._output.read_new())


def _first(failed: Sequence[RankProcess]) -> RankProcess:
    """The rank that failed first; the others often fail because of it."""

    def order(rank: RankProcess) -> Any:
        killed = (rank.exit_code or 0) > 128
        return (not killed, rank.log.stat().st_mtime if rank.log.exists() else 0.0)

    return min(failed, key=order)


def _told(code: int) -> str:
    if code <= 128:
        return f"exit code {code}"
    try:
        return f"exit code {code} ({signal.Signals(code - 128).name})"
    except ValueError:
        return f"exit code {code}"
