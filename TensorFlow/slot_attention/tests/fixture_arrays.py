"""What the reference implementation was given and gave; tests/fixtures/README.md tells more."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import Dict

import numpy as np

from tests.fixtures.packed_arrays import load_either

FIXTURES = Path(__file__).resolve().parents[3] / "tests" / "fixtures" / "slot_attention"
SAMPLED = slice(None, None, 4)


def arrays(name: str) -> Dict[str, np.ndarray]:
    """All arrays of one file, `<name>_public.npz`, packed or not."""
    return load_either(FIXTURES / (name + "_public"))


def arrays_of(path: Path) -> Dict[str, np.ndarray]:
    """All arrays of an npz file."""
    with np.load(str(path), allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def group(stored: Dict[str, np.ndarray], prefix: str) -> Dict[str, np.ndarray]:
    """The arrays whose name begins with `prefix:`, without it."""
    return {
        key[len(prefix) + 1 :]: value
        for key, value in stored.items()
        if key.startswith(prefix + ":")
    }


def dot_vector(name: str, shape) -> np.ndarray:
    """The vector with which a gradient is multiplied, so that a wrong layout shows."""
    seed = zlib.crc32(name.encode()) & 0xFFFFFFFF
    return np.random.RandomState(seed).standard_normal(shape)


def sampled(images: np.ndarray) -> np.ndarray:
    """Every fourth row and column of (..., height, width, channels), which is what is stored."""
    return images[..., SAMPLED, SAMPLED, :]


def unpack_checkpoint(task: str, folder: Path) -> Path:
    """Unpacks a checkpoint as the reference writes them; returns its folder."""
    name = f"tf2_ckpt_{task}_legacyadam"
    with tarfile.open(str(FIXTURES / (name + ".tar.xz"))) as archive:
        archive.extractall(str(folder))
    return folder / name
