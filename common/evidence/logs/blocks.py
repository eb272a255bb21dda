"""A log as blocks of whole lines: unpacked, without terminal codes, in constant memory."""

from __future__ import annotations

import codecs
import dataclasses
import re
import zlib
from pathlib import Path
from typing import IO, Iterator, List, Optional

import numpy as np

from common.core.errors import ZooError

BLOCK = 1 << 21
# Beyond the end of a block's text, so that a look ahead of this many bytes never leaves the array.
MARGIN = 64
_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31  # zlib's word for: gzip, the largest window
_DAMAGED = "the gzip file is damaged ({}); read as far as it goes"
# Colours and cursor moves, titles of the window, other two-byte codes; none can be read two ways.
_TERMINAL_CODES = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78DEHMNOZc])"
)


@dataclasses.dataclass(frozen=True)
class Block:
    """Some lines.

    Attributes:
        text: whole lines; only the last block of a file may end without a line's end.
        array: (len(text) + MARGIN,) uint8: the text, then line ends.
        line_ends: (L,) int64: where "\\n" and "\\r" are; a progress bar's "\\r" ends a line too.
    """

    text: bytes
    array: np.ndarray
    line_ends: np.ndarray

    @property
    def is_cut(self) -> bool:
        """Whether the last line has no end: what touches the end of the text may be half of it."""
        return not self.text.endswith((b"\n", b"\r"))

    def line_starts(self, positions: np.ndarray) -> np.ndarray:
        """Where the lines begin that hold these positions."""
        before = np.searchsorted(self.line_ends, positions)
        starts = np.concatenate([np.zeros(1, np.int64), self.line_ends + 1])
        return np.asarray(starts[before])

    def line_end(self, position: int) -> int:
        """Where the line ends that holds this position."""
        index = int(np.searchsorted(self.line_ends, position))
        return int(self.line_ends[index]) if index < len(self.line_ends) else len(self.text)


def block_of(text: bytes) -> Block:
    """A block of the given lines; terminal codes are taken out."""
    if b"\x1b" in text:
        text = _TERMINAL_CODES.sub(b"", text)
    array = np.frombuffer(text + b"\n" * MARGIN, np.uint8)
    used = array[: len(text)]
    ends = np.flatnonzero(used == 10)
    if b"\r" in text:
        ends = np.flatnonzero((used == 10) | (used == 13))
    return Block(text, array, ends)


def read_blocks(path: Path, notes: List[str], size: int = BLOCK) -> Iterator[Block]:
    """The blocks of a log, plain or gzip, in one pass.

    Args:
        notes: gets a line for what is wrong with the file but can be read over.

    Raises:
        ZooError: the file can't be opened.
    """
    rest = b""
    try:
        with open(str(path), "rb") as stream:
            for data in _decoded(_unpacked(stream, notes, size)):
                rest += data
                cut = _cut_of(rest, size)
                if cut:
                    yield block_of(rest[:cut])
                    rest = rest[cut:]
    except OSError as error:
        raise ZooError(f"can't read the log {path}: {error.strerror or error}") from error
    if rest:
        yield block_of(rest)


def _cut_of(text: bytes, size: int) -> int:
    """How much of the text is whole lines; a line far too long is cut where it is."""
    found = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
    return found if found or len(text) < 4 * size else len(text)


def _unpacked(stream: IO[bytes], notes: List[str], size: int) -> Iterator[bytes]:
    head = stream.read(2)
    stream.seek(0)
    if head != _GZIP:
        yield from iter(lambda: stream.read(size), b"")
        return
    yield from _gunzipped(iter(lambda: stream.read(size), b""), notes, size)


def _gunzipped(parts: Iterator[bytes], notes: List[str], size: int) -> Iterator[bytes]:
    """The content of gzip members one after the other, to where the file ends or is damaged."""
    member = zlib.decompressobj(_GZIP_WINDOW)
    try:
        for rest in parts:
            data = b""
            while rest or len(data) == size:
                if member.eof:
                    rest = rest.lstrip(b"\0")  # padding between members
                    member = zlib.decompressobj(_GZIP_WINDOW) if rest else member
                data = member.decompress(rest, size) if rest or not member.eof else b""
                rest = member.unused_data if member.eof else member.unconsumed_tail
                yield data
    except zlib.error as error:
        notes.append(_DAMAGED.format(error))
        return
    if not member.eof:
        notes.append(_DAMAGED.format("it ends early"))


def _decoded(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Bytes as they are; UTF-16, as some terminals save a log, becomes UTF-8."""
    decoder: Optional[codecs.IncrementalDecoder] = None
    for number, data in enumerate(parts):
        if number == 0 and data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
        yield data if decoder is None else decoder.decode(data).encode("utf-8", "replace")
