"""A log as blocks of whole lines: unpacked, decoded, without terminal codes."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from pathlib import Path
from typing import IO, Iterator, List

from common.core.errors import ZooError

BLOCK = 1 << 18
# Real logs come down to a twentieth; what unpacks to far more than that is made to.
_MOST_TIMES, _FROM_BYTES = 200, 1 << 26
_NO_TEXT = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"7z\xbc\xaf": "a 7z archive",
}
# Colours and cursor moves, titles of the window, other two-byte codes; none can be read two ways.
_TERMINAL_CODES = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78DEHMNOZc])"
)


def read_blocks(path: Path, notes: List[str], size: int = BLOCK) -> Iterator[bytes]:
    """The text of a log, plain or gzip, in one pass: whole lines, ended by "\\n" or "\\r".

    Only the last block may end without a line's end. UTF-16, as some terminals save a log, becomes
    UTF-8; other bytes are left as they are.

    Args:
        notes: gets a line for what is wrong with the file but can be read over.

    Raises:
        ZooError: the file can't be opened, or is no text.
    """
    rest, decoder = b"", None
    try:
        with open(str(path), "rb") as stream:
            for number, data in enumerate(_unpacked(stream, path, notes, size)):
                if number == 0:
                    _check_text(data, path)
                    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                        decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
                rest += data if decoder is None else decoder.decode(data).encode("utf-8", "replace")
                if len(rest) < size:
                    continue
                cut = max(rest.rfind(b"\n"), rest.rfind(b"\r", 0, -1)) + 1
                if cut:
                    yield plain(rest[:cut])
                    rest = rest[cut:]
                elif len(rest) > 32 * size:
                    yield plain(rest) + b"\n"
                    rest = b"x"  # what goes on here begins no line
    except OSError as error:
        raise ZooError(f"can't read the log {path}: {error.strerror or error}") from error
    if rest:
        yield plain(rest)


def plain(text: bytes) -> bytes:
    """A text without terminal codes, with "\\n" in place of "\\r\\n"."""
    if b"\x1b" in text:
        text = _TERMINAL_CODES.sub(b"", text)
    return text.replace(b"\b", b"").replace(b"\r\n", b"\n")


def _unpacked(stream: IO[bytes], path: Path, notes: List[str], size: int) -> Iterator[bytes]:
    """The bytes of the file, of all members of a gzip file as far as it goes."""
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    if not packed:
        yield from iter(lambda: stream.read(size), b"")
        return
    unpacked, total = gzip.GzipFile(fileobj=stream), 0
    try:
        for data in iter(lambda: unpacked.read1(size), b""):
            total += len(data)
            if total > max(_FROM_BYTES, _MOST_TIMES * stream.tell()):
                raise ZooError(
                    f"{path} unpacks to more than {_MOST_TIMES} times its size, which no log "
                    "does; unpack it first if it is one"
                )
            yield data
    except (EOFError, OSError, zlib.error) as error:
        what = "it ends early" if isinstance(error, EOFError) else error
        notes.append(f"the gzip file is damaged ({what}); read as far as it goes")


def _check_text(head: bytes, path: Path) -> None:
    kinds = [kind for begin, kind in _NO_TEXT.items() if head.startswith(begin)]
    if head[257:262] == b"ustar":
        kinds.append("a tar archive")
    if kinds:
        raise ZooError(f"{path} is {kinds[0]}, not a log; unpack it and give the file inside")
