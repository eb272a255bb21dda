"""Reads the tensors of a file that torch.save wrote, in numpy alone; nothing in it is run.

For programs of the other framework, where torch need not be installed.
"""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np

from common.data.safe_pickle import AllowListUnpickler, encode_latin1

_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


def _rebuilt(storage: np.ndarray, offset: int, size: Any, stride: Any, *_: Any) -> np.ndarray:
    """A tensor over its storage; IndexError where it would reach beyond it."""
    last = offset + sum((length - 1) * step for length, step in zip(size, stride))
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= len(storage)):
        raise IndexError("a tensor is larger than what is stored of it")
    steps = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps).copy()


class _TensorUnpickler(AllowListUnpickler):
    buildable = (OrderedDict,)
    allowed = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch", "Size"): tuple,
        ("_codecs", "encode"): encode_latin1,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
        **{("torch", name): dtype for name, dtype in _STORAGES.items()},
    }

    def __init__(self, archive: zipfile.ZipFile, pickle: str) -> None:
        super().__init__(io.BytesIO(archive.read(pickle)))
        self._archive, self._folder = archive, pickle[: -len("data.pkl")]

    def persistent_load(self, about: Tuple[Any, ...]) -> np.ndarray:
        """The numbers of a storage: ("storage", type, key, place, count)."""
        _, dtype, key, _, _ = about
        return np.frombuffer(self._archive.read(f"{self._folder}data/{key}"), np.dtype(dtype))


def read_torch_file(path: Path) -> Dict[str, Any]:
    """What torch.save wrote in its zip format, every tensor a numpy array.

    Raises:
        OSError, ValueError, KeyError, IndexError, pickle.UnpicklingError, zipfile.BadZipFile: not
            there, damaged, or more than tensors.
    """
    with zipfile.ZipFile(str(path)) as archive:
        pickle = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        content: Dict[str, Any] = _TensorUnpickler(archive, pickle).load()
        return content
