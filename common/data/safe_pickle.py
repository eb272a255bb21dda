"""Reads data from a pickle without running anything the pickle asks for.

A pickle is a program that may call any importable function. Here every name it asks for is
looked up in a short list of our own recorders, so that nothing of numpy, nothing of the
standard library and nothing of the project is ever called on the file's behalf.
"""

from __future__ import annotations

import io
import pickle
from typing import IO, Any, Dict, Tuple

import numpy as np

from common.core.errors import ZooError, first_line

Names = Dict[Tuple[str, str], Any]
# The unpickler written in Python: the one in C lets BUILD not be overridden, and takes gigabytes
# for one large number of a memo's place.
_Unpickler: Any = pickle._Unpickler


class ForbiddenName(pickle.UnpicklingError):
    """A pickle asks for a name that is not in the allow-list."""


class AllowListUnpickler(_Unpickler):
    """Knows the names of `allowed` alone, and sets the state of `buildable` types alone."""

    allowed: Names = {}
    buildable: Tuple[type, ...] = ()
    dispatch = dict(_Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """What module.name stands for; raises ForbiddenName where it stands for nothing."""
        if (module, name) not in self.allowed:
            raise ForbiddenName(f"GLOBAL {module}.{name} is not allowed")
        return self.allowed[module, name]

    def load_build(self) -> None:
        """Sets the state of the object below the top of the stack."""
        target = self.stack[-2]
        if type(target) not in self.buildable:
            raise ForbiddenName(f"GLOBAL {type(target).__name__} may not be changed")
        _Unpickler.load_build(self)

    dispatch[pickle.BUILD[0]] = load_build


def encode_latin1(text: object, encoding: object) -> bytes:
    """Bytes as protocol 2 writes them: a call of _codecs.encode; no other encoding is offered."""
    if not isinstance(text, str) or _as_text(encoding) not in ("latin1", "latin-1"):
        raise ForbiddenName("GLOBAL _codecs.encode to another encoding than latin1")
    return text.encode("latin1")


class StoredArray:
    """A numpy array as a pickle describes it, rebuilt from its bytes by `to_numpy` only."""

    def __setstate__(self, state: Any) -> None:
        """Takes numpy's pickled state: (version, shape, dtype, is Fortran order, bytes)."""
        _version, shape, stored_dtype, fortran_order, data = state
        if not isinstance(stored_dtype, StoredDtype) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array without a plain dtype or its bytes")
        self._data = data
        self._shape = tuple(int(length) for length in shape)
        self._dtype = stored_dtype.to_numpy()
        self._order = "F" if fortran_order else "C"

    def to_numpy(self) -> np.ndarray:
        """The array, read-only over the bytes of the file."""
        values: np.ndarray = np.frombuffer(self._data, self._dtype)
        return values.reshape(self._shape, order=self._order)  # type: ignore[call-overload, no-any-return]


class StoredDtype:
    """A plain number type (integer, unsigned or float) as a pickle describes it."""

    def __init__(self, code: str) -> None:
        if code[:1] not in ("u", "i", "f") or not code[1:].isdigit():
            raise pickle.UnpicklingError(f"array dtype {code!r} is not a plain number")
        self._code, self._byte_order = code, "="

    def __setstate__(self, state: Any) -> None:
        """Takes numpy's pickled state, of which only the byte order (index 1) matters here."""
        self._byte_order = _as_text(state[1])
        if self._byte_order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("unknown byte order in an array dtype")

    def to_numpy(self) -> np.dtype:
        """The numpy dtype."""
        return np.dtype(self._byte_order + self._code)


class _DataUnpickler(AllowListUnpickler):
    """Knows what arrays and bytes call, as files of numpy 1, numpy 2 and Python 2 say it."""

    buildable = (StoredArray, StoredDtype)

    def __init__(self, stream: IO[bytes]) -> None:
        # fix_imports=False: names are compared as the file spells them.
        super().__init__(stream, fix_imports=False, encoding="bytes")
        # Functions made for this file: whatever it does to them, the next has its own.
        self.allowed = {
            ("numpy.core.multiarray", "_reconstruct"): lambda *_: StoredArray(),
            ("numpy._core.multiarray", "_reconstruct"): lambda *_: StoredArray(),
            ("numpy", "ndarray"): "numpy.ndarray",
            ("numpy", "dtype"): lambda code, *_: StoredDtype(_as_text(code)),
            ("_codecs", "encode"): lambda text, encoding: encode_latin1(text, encoding),
            ("builtins", "bytes"): lambda: b"",
            ("__builtin__", "bytes"): lambda: b"",
        }


def load_data_pickle(content: bytes, source: str) -> object:
    """Numbers, text, bytes, tuples, lists, dictionaries and plain arrays out of a pickle.

    Args:
        content: the whole pickle, of any protocol, written by Python 2 (its strings become bytes)
            or 3.
        source: the file's name for the error line.

    Returns:
        The object; every array in it is a `StoredArray`.

    Raises:
        ZooError: the pickle asks for anything else, or is damaged. Nothing of it was run.
    """
    try:
        return _DataUnpickler(io.BytesIO(content)).load()
    except ForbiddenName as error:
        raise ZooError(
            f"{source}: refused, this pickle asks for what data has no need of ({error}): "
            "get the file again from its publisher"
        ) from None
    except Exception as error:  # damaged pickles raise every kind there is
        raise ZooError(
            f"{source}: not a readable data pickle ({first_line(error)}): get the file again"
        ) from None


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if isinstance(value, str):
        return value
    raise pickle.UnpicklingError("text expected in an array description")
