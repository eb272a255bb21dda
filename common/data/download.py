"""Downloads a file with mirrors; a broken transfer goes on where it stopped, also tomorrow."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from common.core.errors import ZooError
from common.core.files import write_atomically
from common.core.terminal import Terminal
from common.data.catalogue import Checksum
from common.data.connection import Answer, TransferError, ask, read_some
from common.data.hashing import digest
from common.data.progress import ByteProgress, bytes_text

BLOCK = 1 << 18
TRIES = 5  # in a row that bring nothing
LONGEST_PAUSE = 16.0  # seconds
FAR_TOO_SMALL = 10  # times smaller than the rough size: an error page, not the file


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What has to come: its size, roughly or exactly, and its checksum where it is published."""

    about_size: int
    size: Optional[int]
    checksum: Optional[Checksum]


class PartialFile:
    """The bytes that have come so far (NAME.part), and of what (NAME.part.json)."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")
        self._notes = target.with_name(target.name + ".part.json")

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def notes(self) -> Dict[str, str]:
        """The url and validator of the version that the bytes are of."""
        try:
            content = json.loads(self._notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def begin(self, url: str, validator: str) -> None:
        """Empties the file for a transfer from the start."""
        write_atomically(self._notes, json.dumps({"url": url, "validator": validator}))
        with open(str(self.path), "wb"):
            pass

    def remove(self) -> None:
        """Removes both files."""
        for path in (self.path, self._notes):
            if path.exists():
                path.unlink()

    def finish(self, target: Path) -> None:
        """Gives the file its name."""
        with open(str(self.path), "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(str(self.path), str(target))
        self.remove()


class Download:
    """One file from the first of several addresses that has it.

    Args:
        pause: how to wait between tries (tests give another).
    """

    def __init__(
        self,
        target: Path,
        wanted: Wanted,
        terminal: Terminal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._target, self._wanted, self._terminal = target, wanted, terminal
        self._pause = pause
        self._part = PartialFile(target)

    def run(self, urls: Sequence[str]) -> None:
        """Downloads, checks size and checksum, then gives the file its name.

        Raises:
            ZooError: no address has it, or what they have is not what was published.
        """
        self._target.parent.mkdir(parents=True, exist_ok=True)
        faults: List[str] = []
        for url in urls:
            try:
                self._fetch(url)
                self._check()
                self._part.finish(self._target)
                return
            except TransferError as error:
                faults.append(f"{url}: {error}")
                self._terminal.say(f"  {faults[-1]}")
        raise ZooError(
            "can't download {} ({}){}; run it again, name a server with --mirror, or "
            "put the file at {}".format(
                self._target.name, "; ".join(faults), self._kept(), self._target
            )
        )

    def _kept(self) -> str:
        size = self._part.size
        return f"; the {bytes_text(size)} that came are kept and go on" if size else ""

    def _fetch(self, url: str) -> None:
        """Brings the partial file to its end; a transfer that breaks is taken up again."""
        if self._part.size == self._wanted.size:
            return
        fruitless, brought_any = 0, False
        while True:
            before = self._part.size
            try:
                self._transfer(url)
                return
            except TransferError as error:
                grown = self._part.size > before
                brought_any = brought_any or grown
                fruitless = 0 if grown else fruitless + 1
                if fruitless >= TRIES or not (brought_any or error.temporary):
                    raise
                self._terminal.say(f"  {self._target.name}: {error}; trying again")
                self._pause(min(2.0**fruitless, LONGEST_PAUSE))

    def _transfer(self, url: str) -> None:
        start = self._resumable(url)
        notes = self._part.notes()
        same = notes.get("url") == url
        answer = ask(url, start, notes.get("validator", "") if same else "")
        if answer.stream is None:
            self._past_the_end(answer)
            return
        try:
            self._check_total(answer)
            self._take(url, start, answer)
        finally:
            answer.stream.close()

    def _resumable(self, url: str) -> int:
        """From which byte to go on: 0 where nothing tells that old and new bytes fit together."""
        notes = self._part.notes()
        known = notes.get("url") == url and bool(notes.get("validator"))
        return self._part.size if known or self._wanted.checksum else 0

    def _past_the_end(self, answer: Answer) -> None:
        """The server has no byte past what is here: all of it has come, or it changed."""
        size = self._part.size
        if size in (answer.total, self._wanted.size):
            return
        self._part.remove()
        raise TransferError("what came before is of another version", temporary=True)

    def _check_total(self, answer: Answer) -> None:
        size = self._wanted.size
        if None not in (size, answer.total) and answer.total != size:
            raise TransferError(
                f"the server's file has {answer.total:,} bytes, the published one {size:,}"
            )

    def _take(self, url: str, start: int, answer: Answer) -> None:
        """Appends what comes to the partial file."""
        if answer.start not in (0, start):
            self._part.remove()
            raise TransferError("the server answers another range than asked", temporary=True)
        if start and answer.start == 0:
            self._terminal.say(
                f"  {self._target.name}: the server starts anew (it has another version, or can't "
                "go on)"
            )
        if answer.start == 0:
            self._part.begin(url, answer.validator)
        total = self._wanted.size if self._wanted.size is not None else answer.total
        position = self._append(answer, total)
        if total is not None and position < total:
            raise TransferError(f"the connection was cut after {position:,} of {total:,} bytes")

    def _append(self, answer: Answer, total: Optional[int]) -> int:
        assert answer.stream is not None
        position = answer.start
        progress = ByteProgress(self._terminal, self._target.name, total, position)
        with open(str(self._part.path), "ab", buffering=0) as part:
            while total is None or position < total:
                block = read_some(
                    answer.stream, BLOCK if total is None else min(BLOCK, total - position)
                )
                if not block:
                    break
                part.write(block)
                position += len(block)
                progress.at(position)
        progress.done()
        return position

    def _check(self) -> None:
        """Compares with what was published; a wrong file is not kept."""
        fault = difference(self._part.path, self._wanted, self._terminal)
        if fault:
            self._part.remove()
            raise TransferError(fault)


def difference(path: Path, wanted: Wanted, terminal: Terminal) -> Optional[str]:
    """How a file differs from the published one, None where it doesn't."""
    size = path.stat().st_size
    if wanted.size is not None and size != wanted.size:
        return f"has {size:,} bytes, the published one {wanted.size:,}"
    if size * FAR_TOO_SMALL < wanted.about_size:
        return f"has {bytes_text(size)} where about {bytes_text(wanted.about_size)} are expected"
    if wanted.checksum is None:
        return None
    progress = ByteProgress(terminal, f"checking {path.name}", size)
    found = digest(path, wanted.checksum.algorithm, progress)
    progress.done()
    if found == wanted.checksum.value:
        return None
    return (
        f"has {wanted.checksum.algorithm} {found}, {wanted.checksum.source} publishes "
        f"{wanted.checksum.value}"
    )
