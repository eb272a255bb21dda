"""Checksums of files that take minutes to read, with progress."""

from __future__ import annotations

import hashlib
from pathlib import Path

from common.data.progress import ByteProgress

BLOCK = 1 << 20


def digest(path: Path, algorithm: str, progress: ByteProgress, before: int = 0) -> str:
    """A file's digest in hexadecimal; progress is told `before` plus the bytes read so far."""
    found, position = hashlib.new(algorithm), before
    with open(str(path), "rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            found.update(block)
            position += len(block)
            progress.at(position)
    return found.hexdigest()
