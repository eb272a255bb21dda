"""Brings every rank the first rank's checkpoints, on machines that share no disk too."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Dict, Optional

import numpy
import torch
from torch import distributed

from common.core.errors import ZooError
from common.core.files import sha256_of
from residual_attention_net.checkpoint import CheckpointFolder, load
from residual_attention_net.distributed import sum_over_ranks, world_size

_INT_BYTES = 4


def load_newest(checkpoints: CheckpointFolder, rank: int, device: torch.device) -> Dict[str, Any]:
    """Returns the content of the first rank's newest whole checkpoint, the same on every rank.

    Raises:
        ZooError: there is none; on every rank, so that none waits for another.
    """
    path = checkpoints.newest() if rank == 0 else None
    content = _load_shared(checkpoints, path, device)
    if content is None:
        raise ZooError(
            f"--resume: {checkpoints.folder} holds no whole checkpoint; start without --resume"
        )
    return content


def load_best(
    checkpoints: CheckpointFolder, rank: int, device: torch.device
) -> Optional[Dict[str, Any]]:
    """Returns the content of the first rank's best checkpoint on every rank; None without one."""
    return _load_shared(checkpoints, checkpoints.best() if rank == 0 else None, device)


def _load_shared(
    checkpoints: CheckpointFolder, first: Optional[Path], device: torch.device
) -> Optional[Dict[str, Any]]:
    """Loads what `first` is on the first rank (None on the others): from this rank's disk, or sent.

    Every rank takes the same decisions, from what all of them know.
    """
    name = _from_first_rank(first.name.encode() if first else b"", device).decode()
    if not name:
        return None
    path = checkpoints.folder / name
    if world_size() == 1:
        return load(path)
    expected = _from_first_rank(sha256_of(first).encode() if first else b"", device).decode()
    here = path.is_file() and sha256_of(path) == expected
    if sum_over_ranks([float(here)], device)[0] == world_size():
        return load(path)
    packed = _from_first_rank(first.read_bytes() if first else b"", device)
    return load(path) if here else _load_packed(packed)


def _load_packed(packed: bytes) -> Dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "received.pt"
        path.write_bytes(packed)
        return load(path)


def _from_first_rank(content: Optional[bytes], device: torch.device) -> bytes:
    """The first rank's bytes on every rank; sent as int32, which every backend can broadcast."""
    content = content or b""
    if world_size() == 1:
        return content
    length = torch.tensor([len(content)], dtype=torch.int32, device=device)
    distributed.broadcast(length, 0)
    size = -(-int(length) // _INT_BYTES) * _INT_BYTES
    if size == 0:
        return b""
    padded = content.ljust(size, b"\0")
    values = torch.from_numpy(numpy.frombuffer(padded, dtype=numpy.int32).copy()).to(device)
    distributed.broadcast(values, 0)
    return bytes(values.cpu().numpy().tobytes()[: int(length)])
