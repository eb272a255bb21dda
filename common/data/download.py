"""Downloads a file with mirrors; a broken transfer goes on where it stopped, also tomorrow."""

from __future__ import annotations

import json
import os
import re
import ssl
import time
from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence
from urllib.parse import urljoin, urlsplit

from common.core.errors import ZooError, first_line
from common.core.files import sync_file, write_atomically
from common.core.terminal import Terminal
from common.data.catalogue import DataFile
from common.data.progress import ByteProgress, bytes_text, digest

BLOCK = 1 << 16
TIMEOUT = 30.0  # seconds without a byte
TRIES = 5  # in a row that bring nothing
LONGEST_PAUSE = 16.0  # seconds
FAR_TOO_SMALL = 10  # times smaller than the rough size: an error page, not the file
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class TransferError(Exception):
    """A transfer that failed, in a few words; temporary where trying again may help."""

    def __init__(self, reason: str, temporary: bool = False) -> None:
        super().__init__(reason)
        self.temporary = temporary


# --- the server ------------------------------------------------------------------------------


def _session() -> Any:
    """A session that follows redirects, but not from https to anything else."""
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: Any) -> Optional[str]:
            target = super().get_redirect_target(resp)
            place = urljoin(resp.url, target or "")
            if urlsplit(resp.url).scheme == "https" and urlsplit(place).scheme != "https":
                raise TransferError(f"the server redirects from https to {place}")
            return target

    session = Session()
    session.headers.update({"User-Agent": "attention-modelzoo", "Accept-Encoding": "identity"})
    # What SSL_CERT_FILE names, else the system's certificates, else those of requests.
    session.verify = ssl.get_default_verify_paths().cafile or True
    return session


def ask(url: str, start: int = 0, validator: str = "", timeout: float = TIMEOUT) -> Any:
    """A server's response on a file from byte `start` on; 416: there is none past the start.

    Args:
        validator: of the version that the bytes before `start` are of; a server that has another
            one by now answers from byte 0.

    Raises:
        TransferError: no answer, or an answer that is not the file.
    """
    import requests

    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and validator:
        headers["If-Range"] = validator
    try:
        response = _session().get(url, headers=headers, stream=True, timeout=timeout)
    except (requests.RequestException, OSError, ValueError) as error:
        raise told(error) from error
    if response.status_code not in (200, 206, 416):
        raise TransferError(
            f"the server answers {response.status_code} {response.reason}",
            response.status_code in _TEMPORARY,
        )
    if response.status_code == 206 and _range(response)[0] is None:
        raise TransferError("the server answers a range without saying which")
    return response


def told(error: Exception) -> TransferError:
    """A network error in a few words."""
    known = (
        # getaddrinfo's numbers are negative
        (r"\[Errno -\d+\]|Failed to resolve", "the host is not found (no network or name server)"),
        (
            "CERTIFICATE",
            "the server's certificate is not trusted; SSL_CERT_FILE can name the certificates of "
            "your proxy",
        ),
        ("timed out", f"nothing came for {TIMEOUT:.0f} seconds"),
        ("refused", "the connection is refused"),
        ("connection adapters", "only http and https are spoken"),  # file:, ftp:
        ("(?i)broken|aborted|reset|IncompleteRead", "the connection was cut"),
    )
    told_as = (words for pattern, words in known if re.search(pattern, str(error)))
    return TransferError(next(told_as, first_line(error)))


def _range(response: Any) -> Sequence[Optional[int]]:
    """First byte and size of the whole file, None for what the server doesn't say."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range") or "")
    texts = match.groups() if match else (None, None)
    return [int(text) if text and text.isdigit() else None for text in texts]


def _validator(response: Any) -> str:
    """A strong ETag, else the time of the last change: what If-Range takes."""
    tag = str(response.headers.get("ETag") or "")
    if tag and not tag.startswith("W/"):
        return tag
    return str(response.headers.get("Last-Modified") or "")


# --- the file --------------------------------------------------------------------------------


class PartialFile:
    """The bytes that have come so far (NAME.part), and of what (NAME.part.json)."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.path = target.with_name(target.name + ".part")
        self._notes = target.with_name(target.name + ".part.json")

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def validator(self, url: str) -> str:
        """What If-Range takes, of the version that the bytes are of; "" of another address."""
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            return str(notes["validator"]) if notes["url"] == url else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def begin(self, url: str, validator: str) -> None:
        """Empties the file for a transfer from the start."""
        write_atomically(self._notes, json.dumps({"url": url, "validator": validator}))
        self.path.write_bytes(b"")

    def remove(self) -> None:
        """Removes both files."""
        for path in (self.path, self._notes):
            if path.exists():
                path.unlink()

    def finish(self) -> None:
        """Gives the file its name."""
        sync_file(self.path)
        os.replace(str(self.path), str(self._target))
        self.remove()


class Download:
    """One file from the first of several addresses that has it.

    Args:
        target: where it goes.
        file: what has to come.
        pause: how to wait between tries (tests give another).
    """

    def __init__(
        self,
        target: Path,
        file: DataFile,
        terminal: Terminal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._target, self._file, self._terminal = target, file, terminal
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
                if self._part.size != self._file.size:
                    self._fetch(url)
                fault = difference(self._part.path, self._file, self._terminal)
                if fault:  # a wrong file is not kept
                    self._part.remove()
                    raise TransferError(fault)
                self._part.finish()
                return
            except TransferError as error:
                faults.append(f"{url}: {error}")
                self._terminal.say(f"  {faults[-1]}")
        size = self._part.size
        kept = f"; the {bytes_text(size)} that came are kept and go on" if size else ""
        raise ZooError(
            f"can't download {self._target.name} ({'; '.join(faults)}){kept}; run it again, name "
            f"a server with --mirror, or put the file at {self._target}"
        )

    def _fetch(self, url: str) -> None:
        """Brings the partial file to its end; a transfer that breaks is taken up again."""
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
        validator, size = self._part.validator(url), self._file.size
        # From the start where nothing tells that old and new bytes fit together.
        start = self._part.size if validator or self._file.checksum else 0
        with ask(url, start, validator) as response:
            first, total = _range(response)
            if response.status_code == 416:  # all of it has come, or it changed
                if self._part.size not in (total, size):
                    self._part.remove()
                    raise TransferError("what came before is of another version", temporary=True)
                return
            if None not in (size, total) and total != size:
                raise TransferError(
                    f"the server's file has {total:,} bytes, the published one {size:,}"
                )
            position = first or 0
            if position not in (0, start):
                self._part.remove()
                raise TransferError("the server answers another range than asked", temporary=True)
            if position == 0:
                if start:
                    self._terminal.say(
                        f"  {self._target.name}: the server starts anew (it has another version, "
                        "or can't go on)"
                    )
                self._part.begin(url, _validator(response))
            self._append(response, position, size if size is not None else total)

    def _append(self, response: Any, position: int, total: Optional[int]) -> None:
        from urllib3.exceptions import HTTPError

        progress = ByteProgress(self._terminal, self._target.name, total, position)
        with open(str(self._part.path), "ab", buffering=0) as part:
            while total is None or position < total:
                wanted = BLOCK if total is None else min(BLOCK, total - position)
                try:
                    block = bytes(response.raw.read(wanted, decode_content=False))
                except (HTTPError, OSError) as error:
                    raise told(error) from error
                if not block:
                    break
                part.write(block)
                position += len(block)
                progress.at(position)
        progress.done()
        if total is not None and position < total:
            raise TransferError(f"the connection was cut after {position:,} of {total:,} bytes")


def difference(path: Path, file: DataFile, terminal: Terminal) -> Optional[str]:
    """How a file differs from the published one, None where it doesn't."""
    size, checksum = path.stat().st_size, file.checksum
    if file.size is not None and size != file.size:
        return f"has {size:,} bytes, the published one {file.size:,}"
    if size * FAR_TOO_SMALL < file.about_size:
        return f"has {bytes_text(size)} where about {bytes_text(file.about_size)} are expected"
    if checksum is None:
        return None
    progress = ByteProgress(terminal, f"checking {path.name}", size)
    found = digest(path, checksum.algorithm, progress)
    progress.done()
    if found == checksum.value:
        return None
    return f"has {checksum.algorithm} {found}, {checksum.source} publishes {checksum.value}"
