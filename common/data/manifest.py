"""Checksums that say which data a run has read: of bytes, of arrays, and one for many."""

from __future__ import annotations

import hashlib
from typing import Mapping

import numpy as np


def sha256_of_bytes(content: bytes) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_array(array: np.ndarray) -> str:
    """The sha256 of an array: its type, its shape, and its values in C order, little-endian."""
    little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{little_endian.dtype.str}{array.shape}".encode())
    digest.update(little_endian.data)
    return digest.hexdigest()


def manifest_sha256(sha256_by_name: Mapping[str, str]) -> str:
    """One checksum for many: over the lines "sha256  name", sorted by name."""
    lines = [f"{sha256_by_name[name]}  {name}\n" for name in sorted(sha256_by_name)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
