"""What the reference implementation was given and gave; tests/fixtures/README.md tells more."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import Any, Dict

import numpy as np

from common.training.tensorflow.named_weights import named_weights
from protoattend.network.checkpoints import reference_name
from tests.fixtures.packed_arrays import load_either

FIXTURES = Path(__file__).resolve().parents[3] / "tests" / "fixtures" / "protoattend"


def arrays(name: str) -> Dict[str, np.ndarray]:
    """All arrays of one file, `<name>.npz`, packed or not."""
    return load_either(FIXTURES / name)


def group(stored: Dict[str, np.ndarray], prefix: str) -> Dict[str, np.ndarray]:
    """The arrays whose name begins with `prefix:`, without it."""
    return {
        key[len(prefix) + 1 :]: value
        for key, value in stored.items()
        if key.startswith(prefix + ":")
    }


def dot_vector(name: str, shape: Any) -> np.ndarray:
    """The vector with which a gradient is multiplied, so that a wrong layout shows."""
    seed = zlib.crc32(name.encode()) & 0xFFFFFFFF
    return np.random.RandomState(seed).standard_normal(shape)


def by_reference_name(network: Any) -> Dict[str, Any]:
    """The weights of a network by the reference's names."""
    return {reference_name(path): weight for path, weight in named_weights(network).items()}


def assign_reference_weights(session: Any, network: Any, stored: Dict[str, np.ndarray]) -> None:
    """Gives a network the weights of the fixture."""
    values = group(stored, "w")
    session.run(
        [
            weight.assign(values[name].astype(weight.dtype.base_dtype.as_numpy_dtype))
            for name, weight in by_reference_name(network).items()
        ]
    )


def unpack_checkpoint(folder: Path) -> Path:
    """Unpacks the Saver checkpoint as the reference writes it; returns its prefix."""
    name = "tf1_ckpt_protoattend"
    with tarfile.open(str(FIXTURES / (name + ".tar.xz"))) as archive:
        archive.extractall(str(folder))
    return folder / name / "main_protoattend.ckpt"
